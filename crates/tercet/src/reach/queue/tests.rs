use tercet_core::Condition;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> QueueLimits {
    QueueLimits {
        line_bytes: 100,
        bytes: 250,
        wait: SECOND * 60,
        lines: 4,
        connecting: 2,
        rest: SECOND * 2,
        rest_max: SECOND * 20,
    }
}

fn pair(remote: &str) -> DomainPair {
    DomainPair::new("a.example", remote)
}

/// Lines of numbers, with a clock that the test turns.
struct Bench {
    queues: Queues<u32>,
    now: Instant,
}

impl Bench {
    fn new(limits: QueueLimits) -> Self {
        Bench {
            queues: Queues::new(limits),
            now: Instant::now(),
        }
    }

    fn push(&mut self, remote: &str, letter: u32, bytes: usize) -> Vec<String> {
        self.queues.push(&pair(remote), letter, bytes, self.now);
        self.due()
    }

    fn fail(&mut self, remote: &str, random: u64) -> Vec<String> {
        let reason = Unreachable::not_found("no such server");
        self.queues.failed(&pair(remote), &reason, self.now, random);
        self.due()
    }

    fn connect(&mut self, remote: &str) -> Vec<String> {
        self.queues.connected(&pair(remote), self.now);
        self.due()
    }

    fn lose(&mut self, remote: &str) -> Vec<String> {
        self.queues.lost(&pair(remote), self.now, 0);
        self.due()
    }

    fn wait(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.queues.tick(self.now);
        self.due()
    }

    fn take(&mut self, remote: &str, most: usize) -> Vec<u32> {
        let items = self.queues.take(&pair(remote), most);
        items.into_iter().map(|item| item.letter).collect()
    }

    /// What is to be done, as text.
    fn due(&mut self) -> Vec<String> {
        let all = self.drain();
        let lines = || self.queues.lines.values();
        let sum: usize = lines().map(|line| line.bytes).sum();
        assert_eq!(sum, self.queues.bytes);
        let timers = lines().filter(|line| line.timer.is_some());
        assert_eq!(timers.count(), self.queues.timers.len());
        assert!(self.queues.resting.len() <= self.queues.lines.len());
        all
    }

    fn drain(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(due) = self.queues.poll() {
            all.push(match due {
                Due::Connect(pair) => format!("connect {}", pair.remote),
                Due::Ready(pair) => format!("ready {}", pair.remote),
                Due::Bounce(letter, error) => {
                    assert!(error.text.is_some());
                    format!("bounce {letter} {}", error.condition.as_str())
                }
            });
        }
        all
    }
}

const NONE: [&str; 0] = [];

#[test]
fn what_waits_is_written_in_its_order_once_a_connection_is_there() {
    let mut bench = Bench::new(limits());
    assert_eq!(bench.push("b", 1, 10), ["connect b"]);
    assert_eq!(bench.push("b", 2, 10), NONE);
    assert_eq!(bench.push("b", 3, 10), NONE);
    assert_eq!(bench.connect("b"), ["ready b"]);
    assert_eq!(bench.take("b", 20), [1, 2]);
    assert_eq!(bench.take("b", 1), [3]);
    assert_eq!(bench.take("b", 1), [] as [u32; 0]);
    assert_eq!(bench.push("b", 4, 10), ["ready b"]);
    assert_eq!(bench.push("b", 5, 10), NONE);
    assert_eq!(bench.take("b", 100), [4, 5]);
}

#[test]
fn a_failure_bounces_everything_that_waits_with_its_reason() {
    let mut bench = Bench::new(limits());
    bench.push("b", 1, 10);
    bench.push("b", 2, 10);
    let reason = Unreachable::not_found("b is not in the DNS");
    bench.queues.failed(&pair("b"), &reason, bench.now, 0);
    for expected in [1, 2] {
        let Some(Due::Bounce(letter, error)) = bench.queues.poll() else {
            panic!("no bounce")
        };
        assert_eq!(letter, expected);
        assert_eq!(error.condition, Condition::RemoteServerNotFound);
        assert_eq!(error.text.as_deref(), Some("b is not in the DNS"));
    }
    assert_eq!(bench.queues.bytes(), 0);
}

#[test]
fn rests_double_up_to_the_longest_and_no_connection_is_opened_meanwhile() {
    let mut bench = Bench::new(limits());
    bench.push("b", 0, 10);
    // With the highest number rests are as long as they can be, with 0 half as long.
    for seconds in [2, 4, 8, 16, 20, 20] {
        bench.fail("b", 1_000_000);
        assert_eq!(bench.push("b", 1, 10), NONE);
        assert_eq!(bench.wait(SECOND * seconds - SECOND / 10), NONE);
        assert_eq!(bench.wait(SECOND / 10), ["connect b"]);
    }
    bench.fail("b", 0);
    bench.push("b", 1, 10);
    assert_eq!(bench.wait(SECOND * 10), ["connect b"]);
    // A connection makes up for all failures.
    bench.connect("b");
    bench.wait(MOMENT);
    assert_eq!(bench.lose("b"), ["connect b"]);
    bench.fail("b", 1_000_000);
    bench.push("b", 1, 10);
    assert_eq!(bench.wait(SECOND * 2), ["connect b"]);
}

#[test]
fn a_rest_longer_than_a_letter_may_wait_bounces_it_at_once_with_the_last_reason() {
    let mut limits = limits();
    limits.wait = SECOND * 5;
    let mut bench = Bench::new(limits);
    bench.push("b", 1, 10);
    let reason = Unreachable {
        again_after: Some(SECOND * 3600),
        ..Unreachable::not_found("b is not in the DNS")
    };
    bench
        .queues
        .failed(&pair("b"), &reason, bench.now, 1_000_000);
    assert_eq!(bench.due(), ["bounce 1 remote-server-not-found"]);
    assert_eq!(bench.push("b", 2, 10), ["bounce 2 remote-server-not-found"]);
    // The DNS's word is bounded as well, and towards the end of the rest it is worth waiting.
    assert_eq!(bench.wait(SECOND * 16), NONE);
    assert_eq!(bench.push("b", 3, 10), NONE);
    assert_eq!(bench.wait(SECOND * 4), ["connect b"]);
}

#[test]
fn nothing_waits_longer_than_it_may_whatever_the_line_does() {
    let mut bench = Bench::new(limits());
    bench.push("b", 1, 10);
    bench.connect("c");
    bench.push("c", 2, 10);
    assert_eq!(bench.wait(SECOND * 30), NONE);
    bench.push("b", 3, 10);
    let bounced = bench.wait(SECOND * 30);
    assert_eq!(
        bounced,
        [
            "bounce 1 remote-server-timeout",
            "bounce 2 remote-server-timeout"
        ]
    );
    assert_eq!(bench.wait(SECOND * 30), ["bounce 3 remote-server-timeout"]);
    assert_eq!(bench.queues.bytes(), 0);
}

#[test]
fn bytes_are_bounded_for_each_line_and_for_all() {
    let mut bench = Bench::new(limits());
    assert_eq!(bench.push("b", 1, 100), ["connect b"]);
    assert_eq!(bench.push("b", 2, 1), ["bounce 2 resource-constraint"]);
    assert_eq!(bench.push("c", 3, 100), ["connect c"]);
    assert_eq!(bench.push("d", 4, 51), ["bounce 4 resource-constraint"]);
    assert_eq!(bench.queues.len(), 2);
    bench.connect("b");
    assert_eq!(bench.take("b", 100), [1]);
    assert_eq!(bench.push("b", 5, 100), ["ready b"]);
}

#[test]
fn lines_are_bounded_and_those_that_rest_are_forgotten_first() {
    let mut bench = Bench::new(limits());
    for remote in ["b", "c", "d", "e"] {
        bench.push(remote, 1, 1);
    }
    assert_eq!(bench.push("f", 2, 1), ["bounce 2 resource-constraint"]);
    bench.fail("b", 0);
    assert_eq!(bench.queues.len(), 4);
    bench.push("f", 3, 1);
    assert_eq!(bench.queues.len(), 4);
    assert!(!bench.queues.lines.contains_key(&pair("b")));
}

#[test]
fn what_waits_for_a_connection_that_will_not_be_goes_back_and_what_has_one_goes_on() {
    let mut bench = Bench::new(limits());
    bench.push("b", 1, 10);
    bench.connect("b");
    for (remote, letter) in [("c", 2), ("d", 3), ("e", 4)] {
        bench.push(remote, letter, 10);
    }
    bench.queues.close(&Unreachable::timeout("the end"));
    let mut due = bench.due();
    due.sort();
    let bounce = |letter| format!("bounce {letter} remote-server-timeout");
    assert_eq!(due, [bounce(2), bounce(3), bounce(4)]);
    assert_eq!(bench.push("c", 5, 10), [bounce(5)]);
    assert_eq!(bench.push("f", 6, 10), [bounce(6)]);
    assert_eq!(bench.take("b", 100), [1]);
    assert_eq!(bench.push("b", 7, 10), ["ready b"]);
    assert_eq!(bench.lose("b"), [bounce(7)]);
    assert_eq!(bench.fail("c", 0), NONE);
    assert_eq!(bench.queues.bytes(), 0);
}

#[test]
fn connections_under_way_are_bounded_and_the_next_follows_when_one_is_done() {
    let mut bench = Bench::new(limits());
    assert_eq!(bench.push("b", 1, 1), ["connect b"]);
    assert_eq!(bench.push("c", 2, 1), ["connect c"]);
    assert_eq!(bench.push("d", 3, 1), NONE);
    assert_eq!(bench.push("e", 4, 1), NONE);
    assert_eq!(bench.connect("b"), ["ready b", "connect d"]);
    assert_eq!(
        bench.fail("c", 0),
        ["bounce 2 remote-server-not-found", "connect e"]
    );
    // A peer that connects to us by itself needs no place.
    assert_eq!(bench.push("f", 5, 1), NONE);
    assert_eq!(bench.connect("f"), ["ready f"]);
    assert_eq!(bench.connect("d"), ["ready d"]);
}

#[test]
fn one_that_waits_for_a_place_only_until_its_time_is_up_leaves_nothing() {
    let mut bench = Bench::new(limits());
    for (remote, letter) in [("b", 1), ("c", 2), ("d", 3)] {
        bench.push(remote, letter, 1);
    }
    assert_eq!(bench.wait(SECOND * 60).len(), 3);
    assert!(!bench.queues.lines.contains_key(&pair("d")));
    assert_eq!(bench.connect("b"), NONE);
    assert_eq!(bench.queues.queued.len(), 0);
}

#[test]
fn a_connection_that_ends_after_a_moment_counts_as_a_failure_that_bounces_nothing() {
    let mut bench = Bench::new(limits());
    bench.push("b", 1, 10);
    bench.connect("b");
    assert_eq!(bench.lose("b"), NONE);
    assert_eq!(bench.wait(SECOND), ["connect b"]);
    bench.connect("b");
    bench.wait(MOMENT);
    assert_eq!(bench.take("b", 10), [1]);
    assert_eq!(bench.lose("b"), NONE);
    assert!(bench.queues.is_empty());
}

#[test]
fn what_was_surely_not_handled_goes_out_before_what_came_later() {
    let mut bench = Bench::new(limits());
    for letter in 1..=4 {
        bench.push("b", letter, 10);
    }
    bench.connect("b");
    let mut sent = Sent::new(25);
    for item in bench.queues.take(&pair("b"), 30) {
        sent.push(pair("b"), item);
    }
    assert!(sent.is_full());
    sent.ack(1).unwrap();
    assert!(!sent.is_full());
    bench.wait(MOMENT);
    assert_eq!(bench.lose("b"), ["connect b"]);
    let NotHandled::Surely(left) = sent.end(Some(2)) else {
        panic!("the peer has said it")
    };
    let left = left.into_iter().map(|(_, item)| item).collect();
    bench.queues.put_back(&pair("b"), left);
    assert_eq!(bench.connect("b"), ["ready b"]);
    assert_eq!(bench.take("b", 100), [3, 4]);
}

#[test]
fn what_nobody_knows_of_is_told_apart_and_counts_wrap() {
    let item = |letter| Item {
        letter,
        bytes: 1,
        since: Instant::now(),
    };
    let letters = |left: &[(DomainPair, Item<u32>)]| -> Vec<u32> {
        left.iter().map(|(_, item)| item.letter).collect()
    };
    let mut sent = Sent::new(100);
    sent.acked = u32::MAX;
    for letter in 1..=3 {
        sent.push(pair("b"), item(letter));
    }
    let error = TooHigh {
        acknowledged: 3,
        sent: 2,
    };
    assert_eq!(sent.ack(3), Err(error));
    sent.ack(0).unwrap();
    assert_eq!(sent.len(), 2);
    let again: Vec<_> = sent.again().cloned().collect();
    assert_eq!(letters(&again), [2, 3]);
    // A count that cannot be says nothing.
    match sent.end(Some(77)) {
        NotHandled::Perhaps(left) => assert_eq!(letters(&left), [2, 3]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn five_thousand_servers_that_do_not_exist_are_bounded_in_memory_and_forgotten() {
    let mut bench = Bench::new(QueueLimits {
        bytes: 1 << 20,
        lines: 3000,
        ..limits()
    });
    let mut bounced = 0;
    let mut connect: VecDeque<String> = VecDeque::new();
    for number in 0..5000 {
        let pair = pair(&format!("d{number}"));
        bench.queues.push(&pair, number, 200, bench.now);
        let due = bench.drain();
        assert!(due.iter().all(|line| line.contains("resource-constraint")));
        bounced += due.len();
        bench.queues.push(&pair, number, 100, bench.now);
        let due = bench.drain();
        for line in due {
            match line.strip_prefix("connect ") {
                Some(remote) => connect.push_back(remote.to_owned()),
                None => bounced += 1,
            }
        }
        assert!(bench.queues.len() <= 3000 && bench.queues.bytes() <= 1 << 20);
    }
    while let Some(remote) = connect.pop_front() {
        let reason = Unreachable::not_found("no such server");
        bench.queues.failed(&pair(&remote), &reason, bench.now, 1);
        for line in bench.drain() {
            match line.strip_prefix("connect ") {
                Some(remote) => connect.push_back(remote.to_owned()),
                None => bounced += 1,
            }
        }
    }
    assert_eq!(bounced, 10_000);
    assert_eq!(bench.queues.bytes(), 0);
    for _ in 0..4 {
        bench.wait(SECOND * 60);
    }
    assert!(bench.queues.is_empty() && bench.queues.timers.is_empty());
}

#[test]
fn who_has_much_to_say_finds_room_below_a_quarter_of_a_line_and_half_of_all() {
    let mut bench = Bench::new(QueueLimits {
        line_bytes: 400,
        bytes: 300,
        ..limits()
    });
    bench.push("b", 1, 99);
    assert!(bench.queues.has_room(&pair("b")));
    bench.push("b", 2, 1);
    assert!(!bench.queues.has_room(&pair("b")) && bench.queues.has_room(&pair("c")));
    bench.push("d", 3, 50);
    assert!(!bench.queues.has_room(&pair("c")));
    bench.connect("b");
    bench.take("b", 100);
    assert!(bench.queues.has_room(&pair("b")) && bench.queues.has_room(&pair("c")));
}
