//! Logins that fail: wrong credentials, and hosts that are not what they should be.

use axum::Router;
use axum::response::{Html, IntoResponse, Redirect};
use dealsync_tests::{Shell, opportunity};
use expect_test::expect;

/// Some settings that are wrong in one place.
fn changed(shell: &Shell, from: &str, to: &str) -> String {
    let settings = shell.settings();
    assert!(settings.contains(from), "{from}");
    settings.replacen(from, to, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_says_why() {
    let shell = Shell::new().await;
    let id = shell.has(opportunity("Globex Renewal"));
    let apply = |from: &str, to: &str| {
        shell.write("wrong.toml", changed(&shell, from, to));
        shell.good("tenant apply wrong.toml");
        shell.good("lane resume");
        let run = shell.told("lane run");
        let check = shell.run("tenant check acme");
        assert_eq!(check.code, 3, "{check:?}");
        assert!(check.out.contains("FAIL  login") && check.out.contains("fix:"), "{}", check.out);
        format!("{to}\n{run}\n")
    };
    let mut told = String::new();
    told.push_str(&apply("client_id = \"dealsync\"", "client_id = \"nobody\""));
    told.push_str(&apply("\"SECRET\"", "\"USER\""));
    let refresh = "grant = \"refresh-token\"\nrefresh_token = { env = \"USER\" }";
    told.push_str(&apply("grant = \"client-credentials\"", refresh));
    expect![[r#"
        client_id = "nobody"
        exit 3
        error: AUTH_BAD: Salesforce refused the login: token: invalid_client_id (HTTP 400): client identifier invalid (request ID).
        hint: Check the credentials, the environment, login hours and IP ranges.

        "USER"
        exit 3
        error: AUTH_BAD: Salesforce refused the login: token: invalid_client (HTTP 400): invalid client credentials (request ID).
        hint: Check the credentials, the environment, login hours and IP ranges.

        grant = "refresh-token"
        refresh_token = { env = "USER" }
        exit 3
        error: AUTH_BAD: Salesforce refused the login: token: invalid_grant (HTTP 400): expired access/refresh token (request ID).
        hint: Check the credentials, the environment, login hours and IP ranges.

    "#]].assert_eq(&told);
    // Who runs it is locked out in Salesforce.
    let user = shell.sim.org().find("User", "Username", "integration@acme.example").expect("the user");
    shell.sim.org().update("User", user, serde_json::json!({ "IsActive": false })).expect("changed");
    shell.good("tenant apply tenant.toml");
    shell.good("lane resume");
    expect![[r#"
        exit 3
        error: AUTH_BAD: Salesforce refused the login: token: inactive_user (HTTP 400): user is inactive (request ID).
        hint: Check the credentials, the environment, login hours and IP ranges.
    "#]].assert_eq(&shell.told("lane run"));
    shell.sim.org().update("User", user, serde_json::json!({ "IsActive": true })).expect("changed");
    // Mended, it goes on.
    shell.good("lane resume");
    assert_eq!(shell.full()["created"], 1, "{id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_host_that_is_no_salesforce_is_told_apart_from_one_that_is_away() {
    let shell = Shell::new().await;
    let shop = host(Html("<html><body>Welcome to our shop</body></html>")).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = closed.local_addr().expect("an address");
    drop(closed);
    let no_tls = shell.address.replace("http:", "https:");
    for (host, words) in [
        (shop, "a web page instead of JSON"),
        (format!("http://{nobody}"), "cannot connect"),
        ("https://login.salesforce.invalid".to_owned(), "login.salesforce.invalid"),
        (no_tls, "cannot connect"),
    ] {
        shell.write("wrong.toml", shell.settings().replace(&shell.address, &host));
        shell.good("tenant apply wrong.toml");
        let run = shell.run("lane run");
        assert_eq!(run.code, 3, "{host}: {run:?}");
        assert!(run.err.contains(words), "{host}: {words}: {}", run.err);
        assert!(run.err.contains("hint: "), "{host}: {}", run.err);
    }
    // Such a failure passes by itself: no person has to resume anything.
    shell.good("tenant apply tenant.toml");
    shell.has(opportunity("Globex Renewal"));
    assert_eq!(shell.full()["created"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_beyond_loopback_is_refused() {
    let shell = Shell::new().await;
    let before = shell.json("tenant export acme");
    let mut told = String::new();
    for host in
        ["http://login.salesforce.com", "http://192.168.0.7:8080", "ftp://acme.example", "acme.example"]
    {
        shell.write("wrong.toml", shell.settings().replace(&shell.address, host));
        told.push_str(&shell.told("tenant apply wrong.toml"));
    }
    expect![[r#"
        exit 1
        error: wrong.toml: "http://login.salesforce.com" cannot be logged in at
        hint: write login_url as https://login.salesforce.com, or your org's own address; plain http is for this machine only
        exit 1
        error: wrong.toml: "http://192.168.0.7:8080" cannot be logged in at
        hint: write login_url as https://login.salesforce.com, or your org's own address; plain http is for this machine only
        exit 1
        error: wrong.toml: "ftp://acme.example" cannot be logged in at
        hint: write login_url as https://login.salesforce.com, or your org's own address; plain http is for this machine only
        exit 1
        error: wrong.toml: "acme.example" cannot be logged in at
        hint: write login_url as https://login.salesforce.com, or your org's own address; plain http is for this machine only
    "#]].assert_eq(&told);
    assert_eq!(shell.json("tenant export acme"), before);
    let port = shell.address.rsplit(':').next().expect("a port");
    shell.write("local.toml", shell.settings().replace(&shell.address, &format!("http://localhost:{port}")));
    shell.good("tenant apply local.toml");
    shell.has(opportunity("Globex Renewal"));
    assert_eq!(shell.full()["created"], 1);
}

/// A host that answers a login with this.
async fn host(answer: impl IntoResponse + Clone + Send + Sync + 'static) -> String {
    let router = Router::new().fallback(move || {
        let answer = answer.clone();
        async move { answer }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_host_cannot_lead_to_plain_http() {
    let shell = Shell::new().await;
    let elsewhere = host(Redirect::temporary("http://collect.example/token")).await;
    let token = serde_json::json!({
        "access_token": "00DHs00000DEMO1!secret-session",
        "instance_url": "http://collect.example",
        "id": "https://login.salesforce.com/id/00DHs00000DEMO1EAA/005Hs000000001AIAQ",
        "token_type": "Bearer",
    });
    let plain = host(axum::Json(token)).await;
    let mut told = String::new();
    for address in [elsewhere, plain] {
        shell.write("wrong.toml", shell.settings().replace(&shell.address, &address));
        shell.good("tenant apply wrong.toml");
        shell.good("lane resume");
        told.push_str(&shell.told("lane run"));
    }
    expect![[r#"
        exit 3
        error: AUTH_BAD: Salesforce refused the login: token: HTTP 307: redirected to collect.example.
        hint: Check the credentials, the environment, login hours and IP ranges.
        exit 3
        error: AUTH_BAD: Salesforce refused the login: refusing to follow instance_url: http://collect.example.
        hint: Check the credentials, the environment, login hours and IP ranges.
        hint: https is needed everywhere but on this machine; see login_url in [connection]
    "#]].assert_eq(&told);
    assert!(!told.contains("secret-session"), "{told}");
}
