//! Secrets that stand in the file, or cannot be used: told of, and never repeated.

#[path = "support/expect.rs"]
mod expect;
mod support;

use expect::expect;

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let findings = expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [server]
        database = "postgres://u:canary@h/d"                         #! inline-secret
        [[tenant]]
        id = "demo"
        [[person]]
        id = "alice"
        tenant = "demo"
        role = "agent"
        register = { password = "canary" }                           #! inline-secret
        [[person]]
        id = "bob"
        tenant = "demo"
        role = "agent"
        register = { ha1_md5 = "canary" }                            #! bad-value
        [[person]]
        id = "dan"
        tenant = "demo"
        role = "agent"
        contact = "sip:dan:canary@192.0.2.1"                         #! bad-value
        [[person]]
        id = "eve"
        tenant = "demo"
        role = "agent"
        register = { password_env = "canary!" }                      #! bad-value
        [[token]]
        id = "t"
        token = "canary"                                             #! inline-secret
        role = "operator"
        [[token]]
        id = "u"
        sha256 = "canary"                                            #! bad-value
        role = "operator"
        [[webhook]]
        id = "w"
        tenant = "demo"
        url = "https://u:canary@example.net/"                        #! inline-secret
        secret = "canary"                                            #! inline-secret
        "#,
    );
    for finding in findings {
        assert!(!finding.to_string().contains("canary"), "{finding}");
    }
}

#[test]
fn a_secret_that_cannot_be_used_is_noticed_before_the_first_call() {
    let findings = expect(
        r#"
        [sip]
        udp = "127.0.0.1:5060"
        [server]
        database_url_env = "NOT_SET"                                  #! secret-unavailable
        [[tenant]]
        id = "demo"
        [[person]]
        id = "p1"
        tenant = "demo"
        role = "agent"
        register = { password_file = "missing.txt" }                  #! secret-unavailable
        [[person]]
        id = "p2"
        tenant = "demo"
        role = "agent"
        register = { password_file = "empty.txt" }                    #! secret-unfit
        [[person]]
        id = "p3"
        tenant = "demo"
        role = "agent"
        register = { password_file = "two-lines.txt" }                #! secret-unfit
        [[person]]
        id = "p4"
        tenant = "demo"
        role = "agent"
        register = { password_file = "huge.txt" }                     #! secret-unavailable
        [[person]]
        id = "p5"
        tenant = "demo"
        role = "agent"
        register = { password_file = "short.txt", password_env = "PHONE_PASSWORD" } #! exactly-one
        [[person]]
        id = "p6"
        tenant = "demo"
        role = "agent"
        register = { password_file = "forbidden.txt" }                #! secret-unavailable
        [[webhook]]                                                   #! secret-unfit
        id = "w"
        tenant = "demo"
        url = "https://example.net/"
        secret_file = "short.txt"
        "#,
    );
    assert!(findings.iter().any(|finding| finding.message.contains("permission denied")));
    assert!(findings.iter().all(|finding| !finding.to_string().contains("canary")));
}

#[test]
fn a_database_url_from_elsewhere_is_checked_too() {
    expect(
        "\n[server] #! secret-unfit\ndatabase_url_env = 'NO_DATABASE_URL'\n[sip]\nudp = '127.0.0.1:5060'\n",
    );
    expect(
        r#"
        [server]
        database = "sqlite:x"                          #! exactly-one
        database_url_env = "SIDETONE_DATABASE_URL"
        [sip]
        udp = "127.0.0.1:5060"
        "#,
    );
    expect("\n[server]\ndatabase = 'mysql://h/d' #! bad-value\n[sip]\nudp = '127.0.0.1:5060'\n");
}
