"""A throw-away certificate authority, made with the openssl command."""

import pathlib
import subprocess


class Certificates:
    """A CA and one server certificate for the given domains, in `folder`.

    `ca_file` is the CA's certificate, `ca_folder` holds it under its hash name (for clients that
    take a folder), `chain` and `key` are the server's.
    """

    def __init__(self, folder: pathlib.Path, domains: list[str]):
        folder.mkdir(parents=True)
        self.ca_file = folder / "ca.crt"
        self.chain = folder / "chain.pem"
        self.key = folder / "key.pem"
        self._folder = folder
        self._ca_key = ca_key = folder / "ca.key"
        request = folder / "server.csr"
        extensions = folder / "server.ext"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", ca_key, "-out", self.ca_file, "-days", "2", "-subj", "/CN=End-to-end test CA",
                 "-addext", "basicConstraints=critical,CA:TRUE",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", self.key, "-out", request, "-subj", f"/CN={domains[0]}")
        names = ",".join(f"DNS:{domain}" for domain in domains)
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
            f"extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName={names}\n")
        certificate = folder / "server.crt"
        _openssl("x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", ca_key,
                 "-CAcreateserial", "-out", certificate, "-days", "2", "-extfile", extensions)
        self.chain.write_bytes(certificate.read_bytes() + self.ca_file.read_bytes())
        self.ca_folder = hashed_folder(self.ca_file, folder / "trusted")

    def for_address(self, address: str, folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
        """A web server's certificate and key for an IP address, in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key, request, extensions = (folder / f"web.{end}" for end in ("crt", "key", "csr", "ext"))
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", key, "-out", request, "-subj", "/CN=A web server")
        extensions.write_text("basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n"
                              f"subjectAltName=IP:{address}\n")
        _openssl("x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", self._ca_key,
                 "-CAcreateserial", "-out", certificate, "-days", "2", "-extfile", extensions)
        return certificate, key

    def for_account(self, jid: str) -> tuple[pathlib.Path, pathlib.Path]:
        """A client's certificate and key that name this address (XEP-0178: id-on-xmppAddr)."""
        stem = self._folder / jid.replace("@", "-at-")
        certificate, key, request, extensions = (stem.with_name(stem.name + end)
                                                 for end in (".crt", ".key", ".csr", ".ext"))
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-keyout", key, "-out", request, "-subj", "/CN=A person")
        extensions.write_text("basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n"
                              f"subjectAltName=otherName:1.3.6.1.5.5.7.8.5;UTF8:{jid}\n")
        _openssl("x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", self._ca_key,
                 "-CAcreateserial", "-out", certificate, "-days", "2", "-extfile", extensions)
        return certificate, key


def hashed_folder(ca_file: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """A folder in which OpenSSL finds `ca_file` by its subject's hash."""
    folder.mkdir()
    (folder / "ca.pem").write_bytes(ca_file.read_bytes())
    _openssl("rehash", folder)
    return folder


def _openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed:\n{done.stderr}")
