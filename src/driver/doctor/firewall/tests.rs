//! Texts of the tools, and what they mean for a datagram.

use super::super::finding::Status;
use super::*;

fn network() -> Network {
    Network {
        interface: "eth0".to_owned(),
        own: "192.168.1.9".parse().unwrap(),
        prefix_length: 24,
        broadcast: Some("192.168.1.255".parse().unwrap()),
    }
}

fn nft_chain(rules: &str, policy: &str) -> String {
    format!(
        "table inet filter {{\n\tset ports {{\n\t\ttype inet_service\n\t\tflags interval\n\t\telements = \
         {{ 22, 27000-28000 }}\n\t}}\n\n\tchain input {{\n\t\ttype filter hook input priority filter; \
         policy {policy};\n{rules}\n\t}}\n\n\tchain deeper {{\n\t\tudp dport 27183 drop\n\t}}\n\n\tchain \
         back {{\n\t\treturn\n\t\tdrop\n\t}}\n}}\n"
    )
}

fn nft_fate(rules: &str, policy: &str) -> Fate {
    let packet = packet(&network(), 27_183, Direction::In, false);
    nft::read(&nft_chain(rules, policy), &packet, true).fate(Direction::In)
}

fn word(fate: &Fate) -> &'static str {
    match fate {
        Fate::Passes => "passes",
        Fate::Dropped(_) => "dropped",
        Fate::Doubtful(_) => "doubtful",
    }
}

#[test]
fn rules_of_nft() {
    for (rules, policy, fate) in [
        ("", "accept", "passes"),
        ("", "drop", "dropped"),
        ("udp dport 27183 drop", "accept", "dropped"),
        ("udp dport 27183 counter packets 3 bytes 240 drop comment \"a b\"", "accept", "dropped"),
        ("udp dport 27184 drop", "accept", "passes"),
        ("udp dport != 27183 drop", "accept", "passes"),
        ("udp dport != 22 drop", "accept", "dropped"),
        ("udp dport { 53, 27183 } accept", "drop", "passes"),
        ("udp dport 27000-27183 accept", "drop", "passes"),
        ("udp dport @ports accept", "drop", "passes"),
        ("udp dport @unknown accept", "drop", "doubtful"),
        ("tcp dport 27183 accept", "drop", "dropped"),
        ("tcp dport 27183 drop", "accept", "passes"),
        ("meta l4proto udp th dport 27183 accept", "drop", "passes"),
        ("meta l4proto { icmp, ipv6-icmp } accept", "drop", "dropped"),
        ("ip saddr 192.168.1.0/24 udp dport 27183 accept", "drop", "passes"),
        ("ip saddr 192.168.2.0/24 udp dport 27183 accept", "drop", "dropped"),
        ("ip saddr 192.168.1.1-192.168.1.99 accept", "drop", "passes"),
        ("ip saddr != 192.168.1.0/24 drop", "accept", "passes"),
        ("ip6 saddr fe80::/10 drop", "accept", "passes"),
        ("ip protocol udp drop", "accept", "dropped"),
        ("iifname \"lo\" accept", "drop", "dropped"),
        ("iifname \"eth*\" accept", "drop", "passes"),
        ("iif != \"lo\" drop", "accept", "dropped"),
        ("oifname \"eth0\" accept", "drop", "dropped"),
        ("ct state established,related accept", "drop", "dropped"),
        ("ct state { established, related } accept", "drop", "dropped"),
        ("ct state vmap { invalid : drop, established : accept }", "accept", "passes"),
        ("ct state new accept", "drop", "passes"),
        ("ct status dnat accept", "drop", "dropped"),
        ("udp dport vmap { 53 : jump back, 27183 : drop }", "accept", "dropped"),
        ("udp dport vmap { 27183 : jump deeper }", "accept", "dropped"),
        ("jump deeper", "accept", "dropped"),
        ("jump back\nudp dport 27183 accept", "drop", "passes"),
        ("goto back\nudp dport 27183 accept", "drop", "dropped"),
        ("log prefix \"drop { \" flags all jump back", "accept", "passes"),
        ("limit rate 5/minute accept", "drop", "doubtful"),
        ("limit rate 5/minute accept", "accept", "passes"),
        ("limit rate 5/minute drop", "accept", "doubtful"),
        ("limit rate 5/minute return\ndrop", "accept", "doubtful"),
        ("limit rate 5/minute jump back", "drop", "dropped"),
        ("meta skuid 0 log", "accept", "passes"),
        ("xt match \"addrtype\" counter packets 0 bytes 0 drop", "accept", "doubtful"),
        ("meta pkttype { broadcast, multicast } drop", "accept", "passes"),
        ("fib daddr type local accept", "drop", "passes"),
        ("fib daddr type broadcast drop", "accept", "passes"),
        ("reject with icmpx admin-prohibited", "accept", "dropped"),
        ("udp dport 27183 accept\nudp dport 27183 drop", "drop", "passes"),
    ] {
        assert_eq!(word(&nft_fate(rules, policy)), fate, "{rules} (policy {policy})");
    }
}

#[test]
fn rules_of_iptables() {
    for (rules, fate) in [
        ("-P INPUT ACCEPT", "passes"),
        ("-P INPUT DROP", "dropped"),
        ("-P INPUT ACCEPT\n-A INPUT -p udp -m udp --dport 27183 -j DROP", "dropped"),
        (
            "-P INPUT ACCEPT\n-A INPUT -p udp -m udp --dport 27183 -j REJECT --reject-with icmp-x",
            "dropped",
        ),
        ("-P INPUT ACCEPT\n-A INPUT -p tcp -m tcp --dport 27183 -j DROP", "passes"),
        (
            "-P INPUT DROP\n-A INPUT -s 192.168.1.0/24 -p udp -m udp --dport 27183 -j ACCEPT",
            "passes",
        ),
        ("-P INPUT DROP\n-A INPUT -s 192.168.1.0/255.255.255.0 -j ACCEPT", "passes"),
        ("-P INPUT DROP\n-A INPUT ! -s 192.168.1.0/24 -j ACCEPT", "dropped"),
        ("-P INPUT DROP\n-A INPUT -p udp -m multiport --dports 53,27000:28000 -j ACCEPT", "passes"),
        ("-P INPUT DROP\n-A INPUT -i lo -j ACCEPT", "dropped"),
        ("-P INPUT DROP\n-A INPUT -i eth+ -j ACCEPT", "passes"),
        ("-P INPUT DROP\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "dropped"),
        (
            "-P INPUT DROP\n-A INPUT -m state --state NEW -m comment --comment \"a -j b\" -j ACCEPT",
            "passes",
        ),
        ("-P INPUT DROP\n-A INPUT -m limit --limit 3/min -j ACCEPT", "doubtful"),
        ("-P INPUT ACCEPT\n-N deeper\n-A INPUT -j deeper\n-A deeper -p udp -j DROP", "dropped"),
        (
            "-P INPUT DROP\n-N deeper\n-A INPUT -g deeper\n-A INPUT -j ACCEPT\n-A deeper -j RETURN",
            "dropped",
        ),
        ("-P INPUT ACCEPT\n-N loop\n-A INPUT -j loop\n-A loop -j loop", "passes"),
        ("-P INPUT ACCEPT\n-A INPUT -m addrtype --dst-type LOCAL -j DROP", "dropped"),
        ("-P INPUT ACCEPT\n-A INPUT -m addrtype --dst-type BROADCAST -j DROP", "passes"),
    ] {
        let packet = packet(&network(), 27_183, Direction::In, false);
        let found = iptables::read(rules, &packet).fate(Direction::In);
        assert_eq!(word(&found), fate, "{rules}");
    }
}

/// What ufw sets up when it is switched on, shortened to what decides.
const UFW: &str = "-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N ufw-after-input\n\
    -N ufw-before-input\n-N ufw-not-local\n-N ufw-logging-deny\n-N ufw-skip-to-policy-input\n\
    -N ufw-user-input\n-A INPUT -j ufw-before-input\n-A INPUT -j ufw-after-input\n\
    -A ufw-after-input -p udp -m udp --dport 137 -j ufw-skip-to-policy-input\n\
    -A ufw-after-input -m addrtype --dst-type BROADCAST -j ufw-skip-to-policy-input\n\
    -A ufw-before-input -i lo -j ACCEPT\n\
    -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
    -A ufw-before-input -m conntrack --ctstate INVALID -j DROP\n\
    -A ufw-before-input -p icmp -m icmp --icmp-type 3 -j ACCEPT\n\
    -A ufw-before-input -j ufw-not-local\n\
    -A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT\n\
    -A ufw-before-input -j ufw-user-input\n\
    -A ufw-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix \"[UFW BLOCK] \"\n\
    -A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN\n\
    -A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN\n\
    -A ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN\n\
    -A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny\n\
    -A ufw-not-local -j DROP\n-A ufw-skip-to-policy-input -j DROP\n";

#[test]
fn the_command_is_that_of_who_set_the_rules_and_for_the_local_network_alone() {
    let on = Facts { iptables: Printed::Text(UFW.to_owned()), ufw_on: true, ..Facts::default() };
    let findings = judge(&on, &[network()], 27_183);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].status, Status::Problem);
    assert!(findings[0].text.starts_with("ufw throws away what comes to UDP port 27183 on eth0"));
    let allow = "sudo ufw allow from 192.168.1.0/24 to any port 27183 proto udp";
    assert_eq!(findings[0].commands, [allow]);
    let allowed =
        format!("{UFW}-A ufw-user-input -s 192.168.1.0/24 -p udp -m udp --dport 27183 -j ACCEPT\n");
    let mended = Facts { iptables: Printed::Text(allowed), ..on.clone() };
    assert_eq!(judge(&mended, &[network()], 27_183)[0].status, Status::Ok);
    let other = Facts { ufw_on: false, firewalld_on: true, ..on.clone() };
    let command = &judge(&other, &[network()], 27_183)[0].commands[0];
    assert!(command.contains("source address=\"192.168.1.0/24\" port port=\"27183\""), "{command}");
    let plain = Facts { ufw_on: false, ..on };
    let command = &judge(&plain, &[network()], 27_183)[0].commands[0];
    assert_eq!(command, "sudo iptables -I INPUT -s 192.168.1.0/24 -p udp --dport 27183 -j ACCEPT");
    let text = nft_chain("udp dport 27183 drop", "accept");
    let nft = Facts { nft: Printed::Text(text), ..Facts::default() };
    assert_eq!(
        judge(&nft, &[network()], 27_183)[0].commands,
        ["sudo nft insert rule inet filter input ip saddr 192.168.1.0/24 udp dport 27183 accept"]
    );
}

#[test]
fn what_goes_out_and_what_goes_to_all_are_looked_at_too() {
    let out = "table ip t {\n chain o {\n type filter hook output priority filter; policy accept;\n udp \
               dport 27183 drop\n }\n}\n";
    let facts = Facts { nft: Printed::Text(out.to_owned()), ..Facts::default() };
    let findings = judge(&facts, &[network()], 27_183);
    assert!(findings[0].text.contains("what goes to UDP port 27183"), "{findings:?}");
    assert_eq!(
        findings[0].commands,
        ["sudo nft insert rule ip t o ip daddr 192.168.1.0/24 udp dport 27183 accept"]
    );
    let text = nft_chain("meta pkttype { broadcast, multicast } drop", "accept");
    let facts = Facts { nft: Printed::Text(text), ..Facts::default() };
    let findings = judge(&facts, &[network()], 27_183);
    assert!(findings[0].text.contains("broadcasts that come to"), "{findings:?}");
}

#[test]
fn tables_of_iptables_are_left_to_iptables() {
    let managed = "# Warning: table ip filter is managed by iptables-nft, do not touch!\ntable ip filter \
                   {\n chain INPUT {\n type filter hook input priority filter; policy accept;\n xt match \
                   \"owner\" drop\n }\n}\ntable ip mine {\n chain i {\n type filter hook input priority \
                   filter; policy drop;\n }\n}\n";
    let packet = packet(&network(), 27_183, Direction::In, false);
    assert_eq!(word(&nft::read(managed, &packet, false).fate(Direction::In)), "dropped");
    let skipped = nft::read(managed, &packet, true);
    assert_eq!(skipped.chains.len(), 1);
    assert_eq!(skipped.chains[0].table, "ip mine");
}

#[test]
fn what_cannot_be_read_is_said_with_the_command_that_shows_it() {
    let refused = Facts { nft: Printed::Refused, ..Facts::default() };
    let ufw = Facts { ufw_on: true, ..refused.clone() };
    let firewalld = Facts { firewalld_on: true, ..refused.clone() };
    let iptables = Facts { nft: Printed::Absent, iptables: Printed::Refused, ..Facts::default() };
    for (facts, status, command) in [
        (&refused, Status::Unknown, "sudo nft list ruleset"),
        (&iptables, Status::Unknown, "sudo iptables -S"),
        (&ufw, Status::Warning, "sudo ufw status verbose"),
        (&firewalld, Status::Warning, "sudo firewall-cmd --list-all"),
    ] {
        let findings = judge(facts, &[network()], 27_183);
        assert_eq!((findings.len(), findings[0].status), (1, status), "{findings:?}");
        assert_eq!(findings[0].commands[0], command);
    }
    let none = judge(&Facts::default(), &[network()], 27_183);
    assert_eq!(none[0].status, Status::Ok);
    assert_eq!(judge(&refused, &[], 27_183)[0].status, Status::Ok);
}

#[test]
fn rulesets_that_are_cut_off_or_nonsense_are_read_to_their_end() {
    let packet = packet(&network(), 27_183, Direction::In, false);
    let text = nft_chain("udp dport vmap { 53 : jump back, 27183 : drop }\nlog prefix \"x", "drop");
    for cut in 0..text.len() {
        let _ = nft::read(&text[..cut], &packet, true).fate(Direction::In);
        let _ = iptables::read(&UFW[..cut.min(UFW.len())], &packet).fate(Direction::In);
    }
    for rule in ["jump", "udp dport", "ct", "ip saddr", "fib daddr", "counter packets", "}"] {
        let _ = nft_fate(rule, "drop");
    }
}

#[test]
fn who_has_seen_that_nothing_comes_in_is_told_the_command_that_fits() {
    let ufw = Facts { nft: Printed::Refused, ufw_on: true, ..Facts::default() };
    let iptables = Facts { iptables: Printed::Refused, ..Facts::default() };
    let nft = Facts { nft: Printed::Refused, ..Facts::default() };
    let read = Facts { nft: Printed::Text(nft_chain("drop", "accept")), ..Facts::default() };
    for (facts, command) in [
        (ufw, "sudo ufw allow from 192.168.1.0/24 to any port 27183 proto udp"),
        (iptables, "sudo iptables -I INPUT -s 192.168.1.0/24 -p udp --dport 27183 -j ACCEPT"),
        (nft, "sudo nft list ruleset"),
        (
            read,
            "sudo nft insert rule inet filter input ip saddr 192.168.1.0/24 udp dport 27183 accept",
        ),
    ] {
        assert_eq!(mend(&facts, &[network()], 27_183, Direction::In), [command]);
    }
}
