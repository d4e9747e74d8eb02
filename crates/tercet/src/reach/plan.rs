//! In which order the services of a domain are tried: RFC 2782 over the records of both sorts (XEP-0368 §2.2). Pure.

/// Targets of one domain that are tried. Answers may have more; nobody waits for hundreds.
pub const TARGETS_MAX: usize = 16;

/// A service that a domain names in an SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Lower is tried first.
    pub priority: u16,
    /// The share of those with the same priority that goes here.
    pub weight: u16,
    /// Where: a host name in A-labels without a dot at its end, or an address. Empty for the record that says that there
    /// is no such service.
    pub host: Box<str>,
    /// The port there.
    pub port: u16,
    /// TLS from the first byte (`_xmpps-server`), else by STARTTLS.
    pub direct: bool,
}

/// What is to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// These, in this order.
    Services(Vec<Service>),
    /// The domain's own addresses at port 5269, with STARTTLS: it names no service (RFC 6120 §3.2.2).
    Fallback,
    /// Nothing: the domain says that it has no such service (RFC 2782, target `.`).
    Nothing,
}

/// Puts the records of both sorts in order. `random(n)` gives a number in `0..=n`.
pub fn plan(
    starttls: Vec<Service>,
    direct: Vec<Service>,
    random: &mut dyn FnMut(u32) -> u32,
) -> Plan {
    // RFC 6120 §3.2.1: one record with the target `.` says that there is none.
    let denied = !starttls.is_empty() && starttls.iter().all(|service| service.host.is_empty());
    // XEP-0368 §2.2: the records of both sorts are one list.
    let mut rest: Vec<Service> = starttls.into_iter().chain(direct).collect();
    rest.retain(|service| !service.host.is_empty());
    if rest.is_empty() {
        return match denied {
            true => Plan::Nothing,
            false => Plan::Fallback,
        };
    }
    // RFC 2782: among equal priorities those without weight stand first, so that they are chosen now and then.
    rest.sort_by_key(|service| (service.priority, service.weight > 0));
    let mut ordered = Vec::with_capacity(rest.len().min(TARGETS_MAX));
    while ordered.len() < TARGETS_MAX
        && let Some(first) = rest.first()
    {
        let same = |service: &&Service| service.priority == first.priority;
        let group: Vec<u32> = rest
            .iter()
            .take_while(same)
            .map(|service| service.weight.into())
            .collect();
        let mut mark = random(group.iter().sum());
        let chosen = group.iter().position(|weight| {
            let here = mark <= *weight;
            mark = mark.saturating_sub(*weight);
            here
        });
        ordered.push(rest.remove(chosen.unwrap_or(0)));
    }
    Plan::Services(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(host: &str, priority: u16, weight: u16, direct: bool) -> Service {
        Service {
            priority,
            weight,
            host: host.into(),
            port: 1,
            direct,
        }
    }

    fn hosts(plan: Plan) -> Vec<String> {
        match plan {
            Plan::Services(services) => services.iter().map(|s| s.host.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_sorts_stand_in_one_order_of_priorities() {
        let starttls = vec![service("c", 30, 0, false), service("a", 10, 0, false)];
        let direct = vec![service("d", 40, 0, true), service("b", 20, 0, true)];
        let found = plan(starttls, direct, &mut |_| 0);
        assert_eq!(hosts(found), ["a", "b", "c", "d"]);
    }

    #[test]
    fn weights_share_the_first_place_as_rfc_2782_says() {
        let all = || {
            vec![
                service("none", 0, 0, false),
                service("one", 0, 1, false),
                service("three", 0, 3, false),
            ]
        };
        let first = |mark: u32| {
            let mut marks = vec![mark];
            let found = plan(all(), Vec::new(), &mut |most| {
                let mark = marks.pop().unwrap_or(0);
                assert!(mark <= most);
                mark
            });
            let found = hosts(found);
            assert_eq!(found.len(), 3);
            found[0].clone()
        };
        // Sums of weights in order: 0, 1, 4. The first that is not below the mark is it.
        assert_eq!(first(0), "none");
        assert_eq!(first(1), "one");
        for mark in 2..=4 {
            assert_eq!(first(mark), "three");
        }
    }

    #[test]
    fn a_random_number_out_of_range_still_gives_every_service_once() {
        let all = vec![
            service("a", 0, 65_535, false),
            service("b", 0, 65_535, true),
        ];
        let mut found = hosts(plan(all, Vec::new(), &mut |_| u32::MAX));
        found.sort();
        assert_eq!(found, ["a", "b"]);
    }

    #[test]
    fn no_records_mean_the_domain_itself_and_a_dot_means_nothing() {
        let none = || service("", 0, 0, false);
        let mut zero = |_| 0;
        assert_eq!(plan(vec![], vec![], &mut zero), Plan::Fallback);
        assert_eq!(plan(vec![none()], vec![], &mut zero), Plan::Nothing);
        assert_eq!(plan(vec![none()], vec![none()], &mut zero), Plan::Nothing);
        // No TLS from the first byte, and nothing said of the other.
        assert_eq!(plan(vec![], vec![none()], &mut zero), Plan::Fallback);
        let direct = service("a", 0, 0, true);
        assert_eq!(hosts(plan(vec![none()], vec![direct], &mut zero)), ["a"]);
    }

    #[test]
    fn of_very_many_records_the_first_are_tried() {
        let all = (0..1000).map(|n| service(&format!("h{n}"), n, 0, false));
        let found = hosts(plan(all.collect(), Vec::new(), &mut |_| 0));
        assert_eq!(found.len(), TARGETS_MAX);
        assert_eq!(found[0], "h0");
    }
}
