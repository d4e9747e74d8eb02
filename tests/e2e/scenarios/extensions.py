"""XEP-0012, 0030, 0049, 0054, 0092, 0115, 0157, 0199, 0202: what a server answers by itself."""

import base64
import datetime
import hashlib

import aioxmpp
import aioxmpp.private_xml
import aioxmpp.vcard
import aioxmpp.version

from harness.aio import Aio
from harness.people import befriend, full_name, pair
from harness.scenario import Stage, scenario
from harness.slix import Slix
from harness.strophe import Strophe

INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
DATA = "{jabber:x:data}"
VCARD = "{vcard-temp}"


async def disco(client: Slix, to: str | None, node: str | None = None):
    """Service discovery: the identities and features of that entity, and the whole query."""
    query = f"<query xmlns='{INFO}'" + (f" node='{node}'/>" if node else "/>")
    result = (await client.iq("get", query, to)).find(f"{{{INFO}}}query")
    identities = {(i.get("category"), i.get("type")) for i in result.iter(f"{{{INFO}}}identity")}
    return identities, {f.get("var") for f in result.iter(f"{{{INFO}}}feature")}, result


@scenario
async def the_server_tells_what_it_is_and_can(stage: Stage):
    romeo, = await pair(stage, "romeo")
    identities, features, _ = await disco(romeo, stage.server.domain)
    assert ("server", "im") in identities, identities
    missing = {INFO, ITEMS, "jabber:iq:version", "jabber:iq:last", "jabber:iq:register", "jabber:iq:private",
               "vcard-temp", "urn:xmpp:ping", "urn:xmpp:time", "urn:xmpp:blocking", "msgoffline",
               "http://jabber.org/protocol/commands"} - features
    assert not missing, missing
    await romeo.iq("get", f"<query xmlns='{ITEMS}'/>", stage.server.domain)


@scenario
async def the_capabilities_in_the_stream_features_hash_what_the_server_tells(stage: Stage):
    romeo, = await pair(stage, "romeo")
    caps = "{http://jabber.org/protocol/caps}c"
    features = await romeo.inbox.expect("features with <c/>", lambda s: s.find(caps) is not None)
    node, ver = features.find(caps).get("node"), features.find(caps).get("ver")
    assert features.find(caps).get("hash") == "sha-1"
    _, _, query = await disco(romeo, stage.server.domain, f"{node}#{ver}")
    assert query.get("node") == f"{node}#{ver}"
    assert capabilities_hash(query) == ver


def capabilities_hash(query) -> str:
    """XEP-0115 §5.1."""
    lang = "{http://www.w3.org/XML/1998/namespace}lang"
    # The "<" comes behind the sorting.
    identities = sorted(f"{i.get('category')}/{i.get('type')}/{i.get(lang, '')}/{i.get('name', '')}"
                        for i in query.iter(f"{{{INFO}}}identity"))
    features = sorted(f.get("var") for f in query.iter(f"{{{INFO}}}feature"))
    text = "".join(f"{one}<" for one in identities + features)
    forms = []
    for form in query.iter(f"{DATA}x"):
        fields = {f.get("var"): sorted(v.text or "" for v in f.iter(f"{DATA}value")) for f in form.iter(f"{DATA}field")}
        kind = fields.pop("FORM_TYPE")[0]
        forms.append((kind, f"{kind}<" + "".join(
            f"{var}<" + "".join(f"{value}<" for value in fields[var]) for var in sorted(fields))))
    text += "".join(form for _, form in sorted(forms))
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()


@scenario
async def an_account_tells_its_owner_what_it_is(stage: Stage):
    romeo, = await pair(stage, "romeo")
    for to in (romeo.account.jid, None):
        identities, _, _ = await disco(romeo, to)
        assert ("account", "registered") in identities, identities
    await romeo.iq("get", f"<query xmlns='{ITEMS}'/>", romeo.account.jid)


@scenario
async def an_account_tells_nothing_to_a_stranger(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    stranger = await romeo.iq_error("get", f"<query xmlns='{INFO}'/>", juliet.account.jid)
    nobody = await romeo.iq_error("get", f"<query xmlns='{INFO}'/>", stage.nobody("nobody").jid)
    assert stranger == nobody == "service-unavailable", (stranger, nobody)


@scenario
async def a_vcard_is_kept_and_read_by_its_owner_and_by_others(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    assert await full_name(romeo) is None
    await romeo.iq("set", "<vCard xmlns='vcard-temp'><FN>Romeo Montague</FN><N><FAMILY>Montague</FAMILY></N>"
                          "<PHOTO><TYPE>image/png</TYPE><BINVAL>aGVsbG8=</BINVAL></PHOTO></vCard>")
    for reader, to in ((romeo, None), (romeo, romeo.account.jid), (juliet, romeo.account.jid)):
        card = await reader.iq("get", "<vCard xmlns='vcard-temp'/>", to)
        assert card.findtext(f"{VCARD}vCard/{VCARD}FN") == "Romeo Montague"
        assert card.findtext(f"{VCARD}vCard/{VCARD}N/{VCARD}FAMILY") == "Montague"
        assert card.get("from") in (None, romeo.account.jid), card.get("from")
    await romeo.close()
    card = await juliet.iq("get", "<vCard xmlns='vcard-temp'/>", romeo.account.jid)
    assert card.findtext(f"{VCARD}vCard/{VCARD}PHOTO/{VCARD}BINVAL") == "aGVsbG8="


@scenario
async def libstrophe_reads_the_vcard_that_aioxmpp_set_but_cannot_set_it(stage: Stage):
    account = await stage.account("romeo")
    romeo = await Aio(stage, account, services=(aioxmpp.vcard.VCardService,)).login()
    service = romeo[aioxmpp.vcard.VCardService]
    card = await service.get_vcard()
    name = card.elements.makeelement("{vcard-temp}FN")
    name.text = "Romeo"
    card.elements.append(name)
    await service.set_vcard(card)
    juliet = await Strophe(stage, await stage.account("juliet")).login()
    got = await juliet.iq("get", "<vCard xmlns='vcard-temp'/>", account.jid)
    assert got.findtext(f"{VCARD}vCard/{VCARD}FN") == "Romeo", got
    refused = await juliet.iq("set", "<vCard xmlns='vcard-temp'><FN>Other</FN></vCard>", account.jid)
    assert refused.get("type") == "error"


@scenario
async def private_xml_is_kept_by_namespace_and_hidden_from_others(stage: Stage):
    account = await stage.account("romeo")
    romeo = await Slix(stage, account).login()
    juliet, = await pair(stage, "juliet")
    for name in ("one", "two"):
        await romeo.iq("set", f"<query xmlns='jabber:iq:private'><n xmlns='urn:example:{name}'><v>{name}</v></n></query>")
    await romeo.close()
    romeo = await Slix(stage, account).login()
    for name in ("one", "two"):
        got = await romeo.iq("get", f"<query xmlns='jabber:iq:private'><n xmlns='urn:example:{name}'/></query>")
        assert got.findtext(f".//{{urn:example:{name}}}v") == name
    nothing = await romeo.iq("get", "<query xmlns='jabber:iq:private'><n xmlns='urn:example:none'/></query>")
    assert nothing.find(".//{urn:example:none}n") is not None
    await juliet.iq_error("get", "<query xmlns='jabber:iq:private'><n xmlns='urn:example:one'/></query>", account.jid)


@scenario
async def last_activity_is_told_to_contacts_only(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    query = "<query xmlns='jabber:iq:last'/>"
    refused = await juliet.iq_error("get", query, romeo.account.jid)
    assert refused in ("forbidden", "service-unavailable", "not-authorized"), refused
    await befriend(romeo, juliet)
    romeo.send("<presence type='unavailable'><status>Gone to Mantua</status></presence>")
    await romeo.settle()
    await romeo.close()
    last = (await juliet.iq("get", query, romeo.account.jid)).find("{jabber:iq:last}query")
    assert 0 <= int(last.get("seconds")) < 60
    assert last.text == "Gone to Mantua"
    uptime = (await juliet.iq("get", query, stage.server.domain)).find("{jabber:iq:last}query")
    assert int(uptime.get("seconds")) >= 0


@scenario
async def version_time_and_ping_are_answered(stage: Stage):
    romeo, = await pair(stage, "romeo")
    version = await romeo.iq("get", "<query xmlns='jabber:iq:version'/>", stage.server.domain)
    assert version.findtext(".//{jabber:iq:version}name").lower() == stage.server.name
    assert version.findtext(".//{jabber:iq:version}version")
    time = await romeo.iq("get", "<time xmlns='urn:xmpp:time'/>", stage.server.domain)
    now = datetime.datetime.fromisoformat(time.findtext(".//{urn:xmpp:time}utc").replace("Z", "+00:00"))
    assert abs(now - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=1)
    assert time.findtext(".//{urn:xmpp:time}tzo")
    for to in (stage.server.domain, None, romeo.account.jid):
        await romeo.iq("get", "<ping xmlns='urn:xmpp:ping'/>", to)


@scenario
async def aioxmpp_asks_for_version_and_keeps_private_xml(stage: Stage):
    romeo = await Aio(stage, await stage.account("romeo"), services=(aioxmpp.DiscoClient,)).login()
    server = aioxmpp.JID.fromstr(stage.server.domain)
    version = await aioxmpp.version.query_version(romeo.client.stream, server)
    assert version.name.lower() == stage.server.name
    info = await romeo[aioxmpp.DiscoClient].query_info(server)
    assert "urn:xmpp:ping" in info.features


@scenario
async def what_the_server_does_not_know_is_service_unavailable(stage: Stage):
    romeo, juliet = await pair(stage, "romeo", "juliet")
    for to in (stage.server.domain, None, romeo.account.jid, juliet.account.jid, stage.nobody("nobody").jid):
        for type_ in ("get", "set"):
            condition = await romeo.iq_error(type_, "<query xmlns='urn:example:unknown'/>", to)
            assert condition == "service-unavailable", (to, type_, condition)
