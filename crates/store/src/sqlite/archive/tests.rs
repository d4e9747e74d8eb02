//! Sealing, crashes and batches that are taken back, in random order, compared with a map.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::block::EntryRef;
use super::*;
use crate::ArchiveQuery;

const KIND: KindId = KindId(1);
const OWNERS: [&str; 3] = [
    "juliet@example.com",
    "romeo@example.net",
    "nurse@example.com",
];
const PEERS: [&str; 4] = [
    "a@example.org",
    "b@example.org",
    "c@example.org",
    "d@example.org",
];

type Model = BTreeMap<(usize, u64), ArchiveEntry>;

/// A database in memory, and what is known beside it.
struct Subject {
    connection: Connection,
    archiver: Archiver,
    tail: Arc<Tail>,
}

impl Subject {
    fn new() -> Subject {
        let mut connection = Connection::open_in_memory().unwrap();
        crate::sqlite::schema::migrate(&mut connection).unwrap();
        convert(&connection).unwrap();
        Subject::open(connection)
    }

    fn open(connection: Connection) -> Subject {
        let tail = Arc::new(load(&connection).unwrap().0);
        Subject {
            archiver: Archiver::new(Arc::clone(&tail)),
            connection,
            tail,
        }
    }

    fn begin(&self) {
        self.connection.execute_batch("BEGIN").unwrap();
    }

    fn commit(&mut self) {
        self.archiver.commit(&self.connection).unwrap();
    }

    fn add(&mut self, owner: usize, entry: &ArchiveEntry) {
        let entry = Arc::new(entry.clone());
        let add = self
            .archiver
            .add(&self.connection, KIND, OWNERS[owner], &entry);
        add.unwrap();
    }

    /// As it is when the process was killed and started again.
    fn crash(self) -> Subject {
        Subject::open(self.connection)
    }

    fn seal(&mut self) {
        self.begin();
        self.archiver.seal(&self.connection).unwrap();
        self.commit();
    }

    fn page(&self, owner: usize, query: &ArchiveQuery) -> Vec<ArchiveEntry> {
        let owner = OWNERS[owner];
        let page = page(&self.connection, &self.tail, KIND, owner, query).unwrap();
        page.entries
    }

    fn count(&self, sql: &str) -> i64 {
        self.connection
            .query_row(sql, (), |row| row.get(0))
            .unwrap()
    }

    /// Blocks are full of entries in order, do not overlap, and are found by exactly the peers that are in them.
    fn check_blocks(&self) {
        let mut statement = self
            .connection
            .prepare(
                "SELECT archive, first, last, data FROM archive_blocks ORDER BY archive, first",
            )
            .unwrap();
        let mut rows = statement.query(()).unwrap();
        let (mut end, mut expected) = ((0, 0), Vec::new());
        while let Some(row) = rows.next().unwrap() {
            let [archive, first, last] = [0, 1, 2].map(|at| row.get::<_, i64>(at).unwrap());
            let entries = block::entries(row.get_ref(3).unwrap().as_blob().unwrap()).unwrap();
            assert!(end < (archive, first), "blocks overlap");
            assert!(entries.is_sorted_by(|a, b| a.id < b.id));
            assert_eq!(signed(entries.first().unwrap().id), first);
            assert_eq!(signed(entries.last().unwrap().id), last);
            end = (archive, last);
            let peers = entries.iter().map(|entry| block::text(entry.peer).unwrap());
            expected.extend(peers.map(|peer| (archive, peer.to_owned(), first)));
        }
        expected.sort_unstable();
        expected.dedup();
        let mut statement = self
            .connection
            .prepare("SELECT archive, peer, first FROM archive_peers ORDER BY archive, peer, first")
            .unwrap();
        let found = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let found: Vec<(i64, String, i64)> = found.unwrap().map(Result::unwrap).collect();
        assert_eq!(found, expected);
    }

    /// Everything reads as the model says: pages, entries by their ids, ends.
    fn check(&self, model: &Model, random: &mut Random) {
        self.check_blocks();
        for (number, owner) in OWNERS.into_iter().enumerate() {
            let all = model.range((number, 0)..=(number, u64::MAX));
            let all: Vec<&ArchiveEntry> = all.map(|(_, entry)| entry).collect();
            let (newest_first, limit) = (random.below(2) == 0, random.below(9) + 1);
            let mut some_id = || Some(random.below(1_100) as u64).filter(|id| id % 5 > 0);
            let query = ArchiveQuery {
                after: some_id(),
                before: some_id(),
                peer: some_id().map(|id| PEERS[id as usize % 4].to_owned()),
                newest_first,
                limit,
                ..ArchiveQuery::default()
            };
            let asked = |entry: &&&ArchiveEntry| {
                query.after.is_none_or(|after| entry.id > after)
                    && query.before.is_none_or(|before| entry.id < before)
                    && query.peer.as_ref().is_none_or(|peer| entry.peer == *peer)
            };
            let mut expected: Vec<_> = all.iter().filter(asked).map(|e| (*e).clone()).collect();
            if newest_first {
                expected.reverse();
            }
            expected.truncate(limit);
            assert_eq!(self.page(number, &query), expected);
            let ids: Vec<u64> = (0..10).map(|_| random.below(1_000) as u64).collect();
            let found = entries(&self.connection, &self.tail, KIND, owner, &ids).unwrap();
            let expected = all.iter().filter(|entry| ids.contains(&entry.id));
            assert!(found.iter().eq(expected.copied()));
            let expected = all.first().zip(all.last()).map(|(a, b)| (a.id, b.id));
            let found = ends(&self.connection, &self.tail, KIND, owner).unwrap();
            assert_eq!(found, expected);
        }
    }
}

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

fn entry(id: u64, random: &mut Random) -> ArchiveEntry {
    let length = [3, 300, 300, 1_000, 1_000, 20_000][random.below(6)];
    ArchiveEntry {
        id,
        peer: PEERS[random.below(4)].to_owned(),
        part: "part".to_owned(),
        value: vec![id as u8; length].into(),
    }
}

/// Does something to both.
fn step(subject: &mut Subject, model: &mut Model, random: &mut Random) {
    let owner = random.below(3);
    let id = 1 + random.below(1_000) as u64;
    let connection = &subject.connection;
    match random.below(12) {
        0 => {
            let value = vec![9; random.below(600)];
            let replaced = subject
                .archiver
                .replace(connection, KIND, OWNERS[owner], id, &value);
            replaced.unwrap();
            if let Some(entry) = model.get_mut(&(owner, id)) {
                entry.value = value.into();
            }
        }
        1 => {
            let (id, limit) = (id / 4, random.below(20));
            let deleted = subject
                .archiver
                .delete_until(connection, KIND, OWNERS[owner], id, limit);
            deleted.unwrap();
            let gone = model.range((owner, 0)..=(owner, id)).take(limit);
            for place in gone.map(|(place, _)| *place).collect::<Vec<_>>() {
                model.remove(&place);
            }
        }
        2 if random.below(4) == 0 => {
            subject
                .archiver
                .disown(connection, KIND, OWNERS[owner])
                .unwrap();
            model.retain(|(of, _), _| *of != owner);
        }
        _ => {
            // Ids come in any order, but each once; often in two archives.
            let entry = entry(id, random);
            let owners = [owner, random.below(3)];
            for owner in &owners[..=random.below(2)] {
                if let Entry::Vacant(place) = model.entry((*owner, id)) {
                    subject.add(*owner, &entry);
                    place.insert(entry.clone());
                }
            }
        }
    }
}

#[test]
fn archives_read_like_a_map_whatever_was_sealed_taken_back_or_ended_by_a_crash() {
    for seed in 1..=12 {
        let mut random = Random(seed);
        let (mut subject, mut model) = (Subject::new(), Model::new());
        for _ in 0..120 {
            let before = model.clone();
            subject.begin();
            for _ in 0..random.below(12) {
                let (mark, unchanged) = (subject.archiver.mark(), model.clone());
                subject.connection.execute_batch("SAVEPOINT batch").unwrap();
                step(&mut subject, &mut model, &mut random);
                step(&mut subject, &mut model, &mut random);
                if random.below(4) == 0 {
                    subject
                        .connection
                        .execute_batch("ROLLBACK TO batch")
                        .unwrap();
                    subject.archiver.back_to(mark);
                    model = unchanged;
                }
                subject.connection.execute_batch("RELEASE batch").unwrap();
            }
            if random.below(6) == 0 {
                subject.connection.execute_batch("ROLLBACK").unwrap();
                subject.archiver.rolled_back();
                model = before;
            } else {
                subject.commit();
            }
            match random.below(8) {
                0 => subject.seal(),
                1 => subject = subject.crash(),
                _ => {}
            }
            subject.check(&model, &mut random);
        }
        while delete_slice(&subject.connection).unwrap() {}
        subject.check(&model, &mut random);
    }
}

#[test]
fn an_erased_archive_leaves_the_journal_at_once_and_the_blocks_bit_by_bit() {
    let mut random = Random(1);
    let mut subject = Subject::new();
    for round in 0..3 {
        subject.begin();
        for id in 1..200 {
            subject.add(
                usize::from(id % 2 == 0),
                &entry(round * 1_000 + id, &mut random),
            );
        }
        subject.commit();
    }
    subject.begin();
    let erased = subject
        .archiver
        .disown(&subject.connection, KIND, OWNERS[0]);
    erased.unwrap();
    subject.commit();
    assert_eq!(subject.count("SELECT count(*) FROM archive_journal"), 0);
    assert!(
        subject
            .page(
                0,
                &ArchiveQuery {
                    limit: 9,
                    ..ArchiveQuery::default()
                }
            )
            .is_empty()
    );
    let mut subject = subject.crash();
    while delete_slice(&subject.connection).unwrap() {}
    assert_eq!(
        subject.count("SELECT count(DISTINCT archive) FROM archive_blocks"),
        1
    );
    assert_eq!(
        subject.count("SELECT count(DISTINCT archive) FROM archive_peers"),
        1
    );
    assert_eq!(subject.count("SELECT count(*) FROM archives"), 1);
    let all = ArchiveQuery {
        limit: 999,
        ..ArchiveQuery::default()
    };
    assert_eq!(subject.page(1, &all).len(), 3 * 99);
    // Begins anew, as another archive.
    subject.begin();
    subject.add(0, &entry(5_000, &mut random));
    subject.commit();
    assert_eq!(subject.page(0, &all).len(), 1);
}

#[test]
fn what_comes_in_bulk_goes_into_blocks_at_once_and_to_the_journal_where_that_fails() {
    let mut subject = Subject::new();
    let bulk = |id: u64| ArchiveEntry {
        id,
        value: vec![b'x'; 40_000].into(),
        ..entry(id, &mut Random(id))
    };
    let add = |subject: &mut Subject, ids: std::ops::Range<u64>| {
        subject.begin();
        for id in ids {
            subject.add(0, &bulk(id));
        }
    };
    add(&mut subject, 1..41);
    subject.commit();
    assert_eq!(subject.count("SELECT count(*) FROM archive_journal"), 0);
    assert_eq!(subject.count("SELECT count(*) FROM archive_blocks"), 40);
    assert_eq!(subject.tail.read().len(), 0);
    // Where there is no room for blocks, it is not tried again with the next commit.
    add(&mut subject, 41..81);
    let refuse = "CREATE TEMP TRIGGER full BEFORE INSERT ON archive_blocks BEGIN SELECT raise(FAIL, 'full'); END";
    subject.connection.execute_batch(refuse).unwrap();
    assert!(subject.archiver.commit(&subject.connection).is_err());
    subject.connection.execute_batch("ROLLBACK").unwrap();
    subject.archiver.rolled_back();
    add(&mut subject, 41..81);
    subject.commit();
    assert_eq!(subject.tail.read().len(), 40);
    let subject = subject.crash();
    let query = ArchiveQuery {
        limit: 100,
        ..ArchiveQuery::default()
    };
    let ids = subject.page(0, &query).into_iter().map(|entry| entry.id);
    assert!(ids.eq(1..81));
}

#[test]
fn few_entries_at_a_time_become_full_blocks() {
    let mut subject = Subject::new();
    let mut bytes = 0;
    let mut random = Random(1);
    for id in 1..=2_000 {
        let mut entry = entry(id, &mut random);
        entry.value = [1; 300].into();
        bytes += EntryRef::of(&entry).size();
        subject.begin();
        subject.add(0, &entry);
        subject.commit();
        subject.seal();
    }
    let blocks = subject.count("SELECT count(*) FROM archive_blocks");
    let full = i64::try_from(bytes / 16_000).unwrap();
    assert!(blocks < full * 3 / 2 + 6, "{blocks} blocks for {full}");
    subject.check_blocks();
}

#[test]
fn what_version_2_kept_is_put_into_blocks_also_when_that_was_interrupted() {
    let mut connection = Connection::open_in_memory().unwrap();
    crate::sqlite::schema::migrate(&mut connection).unwrap();
    let mut insert = connection
        .prepare(
            "INSERT INTO archived (id, archive, peer, part, value) VALUES (?1, ?2, ?3, '', ?4)",
        )
        .unwrap();
    for id in 1..=12_000_i64 {
        insert
            .execute((
                id,
                1 + id % 2,
                PEERS[id as usize % 4],
                id.to_string().into_bytes(),
            ))
            .unwrap();
    }
    drop(insert);
    connection
        .execute_batch(
            "INSERT INTO archives (id, kind, owner) VALUES (1, 1, 'juliet@example.com'), (2, 1, 'romeo@example.net')",
        )
        .unwrap();
    // As if it had come so far before.
    let first: Vec<_> = (2..=300)
        .step_by(2)
        .map(|id: u64| {
            Arc::new(ArchiveEntry {
                id,
                peer: PEERS[id as usize % 4].to_owned(),
                part: String::new(),
                value: id.to_string().into_bytes().into(),
            })
        })
        .collect();
    seal::add(&connection, 1, &first).unwrap();
    convert(&connection).unwrap();
    convert(&connection).unwrap();
    assert!(!connection.table_exists(None, "archived").unwrap());
    let subject = Subject::open(connection);
    subject.check_blocks();
    for (number, odd) in [(0, 0), (1, 1)] {
        let all = subject.page(
            number,
            &ArchiveQuery {
                limit: 9_999,
                ..ArchiveQuery::default()
            },
        );
        let ids = (1..=12_000).filter(|id| id % 2 == odd);
        assert!(all.iter().map(|entry| entry.id).eq(ids));
        assert!(
            all.iter()
                .all(|entry| *entry.value == *entry.id.to_string().as_bytes())
        );
    }
}
