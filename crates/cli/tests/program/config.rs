//! Configuration of `ssekit serve`: sources, values and errors.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Parser;
use proptest::prelude::*;
use ssekit_cli::config::{Config, Durability, Flags, Loaded, Problems, Retention, Slow, Spread, Store};
use ssekit_hub::jwks::Source;
use ssekit_mercure::Algorithm;
use ssekit_mercure::issue::{Claims, Grants, Lifetime, Signer, make};

use crate::program::{Program, run, ssekit};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
}

/// Folder for one test, removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ssekit-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    /// Path of a file in it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("it is UTF-8").to_owned()
    }

    /// Writes a file, and returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file can be written");
        // The program warns of keys that other users can read.
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("it is ours");
        path.to_str().expect("it is UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load(flags: &[&str], variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let cli = Cli::try_parse_from(["ssekit"].iter().chain(flags)).expect("the flags are known");
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Loaded::read_from(&cli.flags, variables)
}

fn load_file(name: &str, text: &str) -> Result<Loaded, Problems> {
    let folder = Folder::new(name);
    load(&["--config", &folder.file("ssekit.toml", text)], &[])
}

/// Problems, without the folder of the file.
fn problems(result: Result<Loaded, Problems>) -> Vec<String> {
    let problems = result.expect_err("something is wrong");
    let lines = problems.0.iter().map(ToString::to_string);
    lines
        .map(|line| {
            line.rsplit_once("/ssekit.toml")
                .map_or_else(|| line.clone(), |(_, end)| format!("ssekit.toml{end}"))
        })
        .collect()
}

const EVERYTHING: &str = r#"
addr = ["0.0.0.0:80", "[::]:80"]
unix = "/run/ssekit.sock"
unix_mode = "600"
tls = { cert = "cert.pem", key = "key.pem" }
store = "/var/lib/ssekit"
durability = "sync"
key_file = "both.key"
algorithms = ["HS256", "ES256"]
anonymous = true
cors_origins = ["https://a.example", "https://b.example"]
heartbeat = "15s"
max_lifetime = "1d"
retry = "1s..1m"
slow = "skip"
threads = 2

[publisher]
key = "0123456789abcdef0123456789abcdef"
algorithms = ["HS512"]

[limits]
connections = 100_000
body_size = "64KiB"
recent = 1048576
connects_per_second = "none"

[[retention]]
topic = "https://example.com/rooms/{room}"
last = 1

[[retention]]
topic = "*"
records = 100
bytes = "1GiB"
age = "7d"
"#;

#[test]
fn a_file_sets_everything() {
    let config = load_file("everything", EVERYTHING).expect("it is sound").config;
    assert_eq!(config.addr, ["0.0.0.0:80", "[::]:80"]);
    assert_eq!((config.unix, config.unix_mode), (Some("/run/ssekit.sock".into()), 0o600));
    assert_eq!((config.tls.cert, config.tls.key), (Some("cert.pem".into()), Some("key.pem".into())));
    assert_eq!(config.store, Store::Folder("/var/lib/ssekit".into()));
    assert_eq!((config.durability, config.slow, config.anonymous), (Durability::Sync, Slow::Skip, true));
    assert_eq!(config.key.file, Some("both.key".into()));
    assert_eq!(config.publisher.secret.expect("it is there").expose(), "0123456789abcdef0123456789abcdef");
    let origins: Vec<String> = config.cors_origins.iter().map(ToString::to_string).collect();
    assert_eq!(origins, ["https://a.example", "https://b.example"]);
    assert_eq!(config.heartbeat, Duration::from_secs(15));
    assert_eq!(config.max_lifetime, Some(Duration::from_secs(86_400)));
    assert_eq!(config.retry, Spread { least: Duration::from_secs(1), most: Duration::from_secs(60) });
    assert_eq!((config.threads, config.limits.connections), (Some(2), 100_000));
    assert_eq!((config.limits.body_size, config.limits.recent), (64 << 10, 1 << 20));
    assert_eq!(config.limits.connects_per_second, None);
    let nothing = Retention { topic: String::new(), records: None, bytes: None, age: None, last: None };
    assert_eq!(
        config.retention,
        [
            Retention {
                topic: "https://example.com/rooms/{room}".to_owned(),
                last: Some(1),
                ..nothing.clone()
            },
            Retention {
                topic: "*".to_owned(),
                records: Some(100),
                bytes: Some(1 << 30),
                age: Some(Duration::from_secs(7 * 86_400)),
                ..nothing
            },
        ]
    );
}

#[test]
fn the_default_configuration_is_valid_and_denies_everything() {
    let loaded = load(&[], &[]).expect("it is sound");
    assert_eq!(loaded.config, Config::default());
    assert_eq!((loaded.config.publisher_key(), loaded.config.subscriber_key()), (None, None));
    let unusable = loaded.unusable.join("\n");
    assert!(
        unusable.contains("nobody can publish") && unusable.contains("nobody can subscribe"),
        "{unusable}"
    );
}

#[test]
fn flags_win_over_variables_and_these_over_the_file() {
    let folder = Folder::new("precedence");
    let file = folder.file("ssekit.toml", "heartbeat = \"1m\"\nstall = \"1m\"\ndrain = \"1m\"\n");
    let variables =
        [("SSEKIT_STALL", "2m"), ("SSEKIT_DRAIN", "2m"), ("SSEKIT_BACKLOG", ""), ("SSEKIT_CONFIG", &*file)];
    let loaded = load(&["--drain", "3m"], &variables).expect("it is sound");
    let minutes =
        [loaded.config.heartbeat, loaded.config.stall, loaded.config.drain].map(|time| time.as_secs() / 60);
    assert_eq!(minutes, [1, 2, 3]);
    let printed = loaded.to_toml();
    for (key, origin) in [
        ("heartbeat", format!("{file}:1")),
        ("stall", "SSEKIT_STALL".to_owned()),
        ("drain", "--drain".to_owned()),
        ("backlog", "default".to_owned()),
    ] {
        let line =
            printed.lines().find(|line| line.starts_with(&format!("{key} = "))).expect("it is printed");
        assert_eq!(line.rsplit_once("# ").expect("there is a comment").1, origin);
    }
}

#[test]
fn lists_have_commas_and_flags_may_be_repeated() {
    let expected = ["127.0.0.1:1", "[::1]:2", "localhost:3"];
    for loaded in [
        load(&["--addr", "127.0.0.1:1,[::1]:2", "--addr", "localhost:3"], &[]),
        load(&[], &[("SSEKIT_ADDR", "127.0.0.1:1, [::1]:2 ,localhost:3")]),
    ] {
        assert_eq!(loaded.expect("it is sound").config.addr, expected);
    }
    // For a setting that is no list, the last flag counts.
    let loaded = load(&["--store", "memory", "--drain=1s", "--store", "folder", "--drain=2s"], &[])
        .expect("it is sound");
    assert_eq!(loaded.config.store, Store::Folder("folder".into()));
    assert_eq!(loaded.config.drain, Duration::from_secs(2));
    let rules = ["--retention", "topic=a age=1d", "--retention", "topic=* last=1;topic=b records=5"];
    let rules = load(&rules, &[]).expect("it is sound").config.retention;
    let topics: Vec<&str> = rules.iter().map(|rule| &*rule.topic).collect();
    assert_eq!(topics, ["a", "*", "b"]);
}

#[test]
fn every_setting_has_a_variable_and_a_flag_of_the_same_meaning() {
    // The output of `--print` for the file above names all settings; each value is repeated as a variable and
    // as a flag.
    let printed = load_file("same-meaning", EVERYTHING).expect("it is sound").to_toml();
    let single = printed.lines().filter(|line| !line.starts_with(['#', ' ', ']']) && !line.contains(" = ["));
    let mut count = 0;
    for line in single.filter(|line| line.contains(" = ") && !line.contains("tls.")) {
        let (key, value) =
            line.rsplit_once(" # ").and_then(|(set, _)| set.split_once(" = ")).expect("key = value");
        let value = value.trim().trim_matches('"');
        let file = load_file("one-setting", &format!("{line}\n")).expect(line).config;
        let variable = format!("SSEKIT_{}", key.replace('.', "_").to_uppercase());
        assert_eq!(load(&[], &[(&variable, value)]).expect(line).config, file, "{variable}");
        let flag = format!("--{}={value}", key.replace(['.', '_'], "-"));
        assert_eq!(load(&[&flag], &[]).expect(line).config, file, "{flag}");
        count += 1;
    }
    assert!(count > 35, "only {count} settings were tried");
}

#[test]
fn dev_turns_on_settings_that_are_not_set() {
    let config = load(&["--dev"], &[]).expect("it is sound").config;
    assert!(config.dev && config.anonymous && config.ui && config.metrics && config.subscriptions);
    let config = load(&["--dev", "--ui=false"], &[("SSEKIT_METRICS", "off")]).expect("it is sound").config;
    assert!(config.anonymous && !config.ui && !config.metrics);
    let config = load(&["--dev=false"], &[("SSEKIT_DEV", "true")]).expect("it is sound").config;
    assert!(!config.dev && !config.anonymous);
}

#[test]
fn dev_on_a_reachable_address_needs_a_second_flag() {
    for (addr, reachable) in [
        ("127.0.0.1:0", false),
        ("127.9.9.9:0", false),
        ("[::1]:0", false),
        ("[::ffff:127.0.0.1]:0", false),
        ("localhost:0", false),
        ("0.0.0.0:0", true),
        ("[::]:0", true),
        ("192.168.0.1:0", true),
        ("localhost.evil.example:0", true),
        ("127.0.0.1:0,10.0.0.1:0", true),
    ] {
        assert_eq!(load(&["--dev", "--addr", addr], &[]).is_err(), reachable, "{addr}");
        let warnings =
            load(&["--dev", "--dev-anywhere", "--addr", addr], &[]).expect("it is wanted").warnings;
        assert_eq!(
            warnings.iter().any(|warning| warning.contains("EVERYONE WHO CAN REACH")),
            reachable,
            "{addr}: {warnings:?}"
        );
    }
}

#[test]
fn a_problem_names_its_source_its_value_and_the_permitted_ones() {
    let size = "a size: a number of bytes, or a number with a unit, such as 64KiB, 16MiB, 1GiB or 500MB";
    let time = "a time: a number with a unit, such as 100ms, 25s, 5m, 1h30m or 7d";
    for (text, expected) in [
        ("\nlimits.body_size = \"big\"", format!("ssekit.toml:2: limits.body_size: \"big\" is not {size}")),
        (
            "[limits]\nbody_size = \"2GiB\"",
            "ssekit.toml:2: limits.body_size: \"2GiB\" is not a size from 1KiB to 1GiB".to_owned(),
        ),
        ("heartbeat = 25", format!("ssekit.toml:1: heartbeat: 25 is not {time}")),
        ("heartbeat = \"0\"", "ssekit.toml:1: heartbeat: \"0\" is not a time from 1s to 1h".to_owned()),
        ("anonymous = \"maybe\"", "ssekit.toml:1: anonymous: \"maybe\" is not true or false".to_owned()),
        (
            "durability = \"never\"",
            "ssekit.toml:1: durability: \"never\" is not memory, periodic or sync".to_owned(),
        ),
        (
            "store = \"redis://a.example\"",
            "ssekit.toml:1: store: \"redis://a.example\" is not `memory` or the path of a folder".to_owned(),
        ),
        ("threads = 1.5", "ssekit.toml:1: threads: 1.5 is not a number from 1 to 1024".to_owned()),
        ("threads = -1", "ssekit.toml:1: threads: -1 is not a number from 1 to 1024".to_owned()),
        (
            "unix_mode = 660",
            "ssekit.toml:1: unix_mode: 660 is not file permissions in octal and in quotes, such as \"660\""
                .to_owned(),
        ),
        (
            "addr = [\n\"127.0.0.1:1\",\n\"3000\"]",
            "ssekit.toml:3: addr: \"3000\" is not an address of the form HOST:PORT".to_owned(),
        ),
        (
            "retry = \"2s..1s\"",
            "ssekit.toml:1: retry: \"2s..1s\" is not a time or a range of times, such as \
             1s or 500ms..1500ms"
                .to_owned(),
        ),
        (
            "hub_path = \"hub\"",
            "ssekit.toml:1: hub_path: \"hub\" is not an absolute path such as /.well-known/mercure"
                .to_owned(),
        ),
        (
            "jwks = \"http://a.example/\"",
            "ssekit.toml:1: jwks: \"http://a.example/\" is not a file path or an https:// URL".to_owned(),
        ),
        ("limits = 5", "ssekit.toml:1: `limits` is a table and needs no value: write [limits]".to_owned()),
        (
            "\n\nheartbeet = \"1s\"",
            "ssekit.toml:3: unknown setting `heartbeet`; did you mean `heartbeat`?".to_owned(),
        ),
        (
            "body_size = 1",
            "ssekit.toml:1: unknown setting `body_size`; did you mean `limits.body_size`?".to_owned(),
        ),
        (
            "[limits]\ntopix = 1",
            "ssekit.toml:2: unknown setting `limits.topix`; did you mean `limits.topics`?".to_owned(),
        ),
        (
            "zzz = 1",
            "ssekit.toml:1: unknown setting `zzz`; `ssekit serve --print` shows all settings".to_owned(),
        ),
        (
            "[[retention]]\nlast = 1",
            "ssekit.toml:1: retention: a retention rule needs a topic; \"*\" matches all topics".to_owned(),
        ),
        ("[[retention]]\ntopic = \"*\"\nage = 7", format!("ssekit.toml:3: retention: age: 7 is not {time}")),
        (
            "[[retention]]\ntopic = \"*\"\nmax = 7",
            "ssekit.toml:3: retention: unknown key \"max\" in a \
             retention rule; the keys are: topic, records, bytes, \
             age, last"
                .to_owned(),
        ),
        (
            "tls.cert = \"a\"",
            "ssekit.toml:1: tls.cert requires tls.key: TLS needs a certificate and its key, each a PEM file"
                .to_owned(),
        ),
        ("addr = []", "ssekit.toml:1: the hub has no address to listen on: set addr or unix".to_owned()),
    ] {
        assert_eq!(problems(load_file("mistake", text)), [expected], "{text}");
    }
    let not_toml = problems(load_file("mistake", "a = 1\nb = = 2"));
    assert!(not_toml[0].starts_with("ssekit.toml:2: invalid TOML: "), "{not_toml:?}");

    let said = problems(load(&["--limits-body-size=big"], &[("SSEKIT_HEARTBEAT", "25")]));
    assert_eq!(
        said,
        [
            format!("SSEKIT_HEARTBEAT: \"25\" is not {time}"),
            format!("--limits-body-size: \"big\" is not {size}")
        ]
    );
    let said = problems(load(&["--publisher-key-file", "b"], &[("SSEKIT_PUBLISHER_KEY", "a")]));
    assert_eq!(
        said,
        ["--publisher-key-file: publisher.key_file conflicts with publisher.key (SSEKIT_PUBLISHER_KEY): \
          set only one of them"]
    );
    let said = problems(load(&["--retention", "topic=* last"], &[]));
    assert_eq!(
        said,
        ["--retention: \"last\" has no value; a retention rule looks like \"topic=* records=1000 age=7d\""]
    );
    let said = problems(load(&["--config", "/nowhere/ssekit.toml"], &[]));
    assert_eq!(
        said,
        ["ssekit.toml:1: cannot read the configuration file: No such file or directory (os error 2)"]
    );
}

#[test]
fn all_problems_are_reported_together_in_the_order_of_the_file() {
    let said = problems(load_file("several", "zzz = 1\nheartbeat = 1\n[limits]\nyyy = 1\ntopics = 0\n"));
    let places: Vec<&str> = said.iter().map(|line| &line[..13]).collect();
    assert_eq!(places, ["ssekit.toml:1", "ssekit.toml:2", "ssekit.toml:4", "ssekit.toml:5"]);
}

#[test]
fn a_misspelled_variable_is_reported_with_the_similar_one() {
    let warned = |name| load(&[], &[(name, "1")]).expect("it is sound").warnings.join("\n");
    assert!(
        warned("SSEKIT_HEARTBEET").contains("SSEKIT_HEARTBEET has no effect; did you mean SSEKIT_HEARTBEAT?")
    );
    // Kubernetes creates these for a service of this name.
    for name in ["SSEKIT_PORT", "SSEKIT_SERVICE_HOST", "SSEKIT_PORT_80_TCP", "SSEKIT_TOKEN"] {
        assert!(!warned(name).contains(name), "{name}");
    }
}

#[test]
fn a_secret_is_shown_nowhere() {
    let secret = "a-secret-that-nobody-may-see";
    let file = format!("key = \"{secret}\"\n");
    for (flags, variables, file) in [
        (vec!["--key", secret], vec![], ""),
        (vec![], vec![("SSEKIT_KEY", secret)], ""),
        (vec![], vec![], &*file),
    ] {
        let folder = Folder::new("secret");
        let path = folder.file("ssekit.toml", file);
        let flags: Vec<&str> = flags.into_iter().chain(["--config", &path]).collect();
        let cli = Cli::try_parse_from(["ssekit"].iter().chain(&flags)).expect("the flags are known");
        let loaded = load(&flags, &variables).expect("it is sound");
        assert_eq!(
            loaded.config.publisher_key().and_then(|key| key.secret).expect("it is there").expose(),
            secret
        );
        let shown = format!("{:?} {:?} {} {:?}", cli, loaded, loaded.to_toml(), loaded.warnings);
        assert!(!shown.contains(secret), "{shown}");
        // As a flag, every user of the machine can see it.
        assert_eq!(
            shown.contains("every user of this machine can read the value of --key in the output of `ps`"),
            flags[0] == "--key",
            "{shown}"
        );
    }
    // Invalid secrets are not shown either.
    let said = problems(load_file("secret", &format!("key = [\"{secret}\"]")));
    assert_eq!(said, ["ssekit.toml:1: key: the value must be a non-empty string"]);
}

#[test]
fn a_key_for_both_is_overruled_by_one_of_its_own_and_lends_it_its_algorithms() {
    let flags = ["--key-file=both", "--algorithms=ES256", "--subscriber-jwks=https://a.example/jwks"];
    let config = load(&flags, &[]).expect("it is sound").config;
    let (publisher, subscriber) =
        (config.publisher_key().expect("one"), config.subscriber_key().expect("one"));
    assert_eq!((publisher.file, publisher.algorithms), (Some("both".into()), vec![Algorithm::ES256]));
    assert_eq!((subscriber.file, subscriber.jwks), (None, Some("https://a.example/jwks".to_owned())));
    assert_eq!(subscriber.algorithms, [Algorithm::ES256]);
}

#[test]
fn own_algorithms_audiences_and_issuers_take_precedence_over_common_ones() {
    let secret = "0123456789abcdef0123456789abcdef";
    let flags = [
        "--key",
        secret,
        "--algorithms=HS256",
        "--subscriber-algorithms=HS384",
        "--audience=hub,other",
        "--publisher-audience=publish",
        "--subscriber-issuer=login",
    ];
    let loaded = load(&flags, &[]).expect("it is sound");
    assert_eq!(loaded.config.publisher_key().expect("one").algorithms, [Algorithm::HS256]);
    assert_eq!(loaded.config.subscriber_key().expect("one").algorithms, [Algorithm::HS384]);
    let (access, _) = loaded.access().expect("its keys are");
    let (publishers, subscribers) = (access.publishers_required, access.subscribers_required);
    assert_eq!((publishers.audience, publishers.issuer.len()), (vec!["publish".to_owned()], 0));
    assert_eq!(subscribers.audience, ["hub", "other"]);
    assert_eq!(subscribers.issuer, ["login"]);
}

/// One parser reads all lists of origins.
#[test]
fn a_text_that_is_no_origin_is_refused_and_patterns_are_kept() {
    let loaded = load(
        &[
            "--cors-origins=https://*.A.example/,http://localhost:*,*",
            "--publish-origins=https://*.b.example",
        ],
        &[],
    );
    let loaded = loaded.expect("it is sound");
    let shown = loaded.to_toml();
    assert!(
        shown.contains(r#"cors_origins = ["https://*.a.example", "http://localhost:*", "*"]"#),
        "{shown}"
    );
    assert!(shown.contains(r#"publish_origins = ["https://*.b.example"]"#), "{shown}");
    for flag in [
        "--publish-origins=*",
        "--cors-origins=https://*",
        "--cors-origins=https://a.*.example",
        "--publish-origins=https://a.example/b",
    ] {
        let said = problems(load(&[flag], &[]));
        assert!(
            said.len() == 1 && said[0].contains("is not an origin: https://app.example"),
            "{flag}: {said:?}"
        );
    }
}

#[test]
fn the_access_rules_follow_the_configuration() {
    let secret = "0123456789abcdef0123456789abcdef";
    let keys = ["--key", secret, "--subscriber-jwks=https://a.example/jwks", "--algorithms=HS512"];
    let rest = ["--cookie=c", "--cors-origins=https://a.example", "--query-token=false", "--limits-topics=7"];
    let loaded = load(&[keys, rest].concat(), &[]).expect("it is sound");
    let (access, sets) = loaded.access().expect("its keys are");
    assert_eq!((access.publishers.len(), access.subscribers.len(), sets.len()), (1, 0, 1));
    // Keys that are fetched later reach the verifier.
    assert_eq!(sets[0].source, Source::parse("https://a.example/jwks").expect("a URL to ask"));
    assert_eq!(sets[0].algorithms, [Algorithm::HS512]);
    sets[0].keys.replace(&access.publishers);
    assert_eq!(access.subscribers.len(), 1);
    assert_eq!((&*access.cookie, access.query_token, access.limits.topics), ("c", false, 7));
    assert!(access.cors_origins.has("https://a.example") && !access.publish_origins.has("https://a.example"));
    assert!(!access.anonymous && !access.open);
    let (access, _) = load(&["--dev"], &[]).expect("it is sound").access().expect("it has no keys");
    assert!(access.anonymous && access.open);
    // A page on a development server may read, on any port; pages of another machine, and names that only
    // look local, may not.
    for (origin, reads) in [
        ("http://localhost:5173", true),
        ("https://app.localhost", true),
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:8080", true),
        ("http://localhost.evil.example", false),
        ("http://192.168.0.7:5173", false),
        ("https://evil.example", false),
        ("null", false),
    ] {
        assert_eq!(access.cors_origins.has(origin), reads, "{origin}");
    }
    let flags = ["--dev", "--cors-origins=https://a.example"];
    let (access, _) = load(&flags, &[]).expect("it is sound").access().expect("it has no keys");
    assert!(
        access.cors_origins.has("https://a.example") && !access.cors_origins.has("http://localhost:5173")
    );
}

#[test]
fn files_of_keys_are_read_again_when_that_is_asked_for() {
    let folder = Folder::new("renew");
    let (one, two) = ("1".repeat(32), "2".repeat(32));
    let file = folder.file("key", &one);
    let loaded = load(&["--key-file", &file], &[]).expect("it is sound");
    let (access, _) = loaded.access().expect("its key is");
    let signed_by = |secret: &str| {
        let grants = Grants { publish: vec!["*".to_owned()], ..Grants::default() };
        let now = SystemTime::now();
        make(&Claims::new(grants, now, Lifetime(None)), &Signer::read(secret).expect("a secret"), None, None)
            .expect("it can sign")
    };
    let is_valid = |secret: &str| access.publishers.verify(&signed_by(secret), SystemTime::now()).is_ok();
    folder.file("key", "short");
    let problems = loaded.renew_keys(&access).expect_err("it is too short");
    assert!(problems.to_string().starts_with("--key-file: the secret has 5 bytes"), "{problems}");
    assert_eq!((is_valid(&one), is_valid(&two)), (true, false));
    folder.file("key", &two);
    loaded.renew_keys(&access).expect("it is a key");
    assert_eq!((is_valid(&one), is_valid(&two)), (false, true));
}

proptest! {
    #[test]
    fn the_printed_configuration_is_read_again(
        numbers in prop::collection::vec(1_u64..1_000_000, 8),
        text in "[^\u{0}-\u{20}\u{7f}-\u{a0}]{1,20}",
        topic in "\\PC{1,20}",
        truths in prop::collection::vec(any::<bool>(), 4),
        some in any::<bool>(),
    ) {
        prop_assume!(text != "none" && text != "memory" && !text.contains("://"));
        let ms = |at: usize| Duration::from_millis(1_000 + numbers[at]);
        let mut config = Config {
            addr: vec![format!("127.0.0.1:{}", numbers[0] % 65_536), "[::1]:1".to_owned()],
            unix: some.then(|| text.clone().into()),
            store: if some { Store::Memory } else { Store::Folder(text.into()) },
            anonymous: truths[0],
            query_token: truths[1],
            heartbeat: ms(1),
            max_lifetime: some.then(|| ms(2)),
            retry: Spread { least: ms(3), most: ms(3) + ms(4) },
            retention: vec![Retention {
                topic,
                records: some.then_some(numbers[5]),
                bytes: (!some).then_some(numbers[6]),
                age: some.then(|| ms(6)),
                last: (!some).then_some(numbers[7].min(1_000)),
            }],
            slow: if truths[2] { Slow::Skip } else { Slow::Close },
            unix_mode: u32::try_from(numbers[4] % 512).expect("it is small"),
            ..Config::default()
        };
        config.limits.body_size = 1024 + usize::try_from(numbers[2]).expect("it is small");
        config.limits.connections_per_address = some.then_some(5);
        let mut loaded = load(&[], &[]).expect("it is sound");
        loaded.config = config;
        let printed = loaded.to_toml();
        let again = load_file("roundtrip", &printed);
        let again = again.map_err(|problems| TestCaseError::fail(format!("{problems}\n{printed}")))?;
        prop_assert_eq!(again.config, loaded.config);
    }

    #[test]
    fn no_file_makes_it_panic(text in "(\\PC|\n|\\[|\\]|=|\"){0,60}") {
        let _ = load_file("arbitrary", &text);
    }

    #[test]
    fn no_value_of_any_setting_makes_it_panic(value in "\\PC{0,20}", number: i64) {
        let printed = load(&[], &[]).expect("it is sound").to_toml();
        let keys: Vec<&str> = printed.lines().filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
        let variables: BTreeMap<String, String> = keys
            .iter()
            .map(|key| (format!("SSEKIT_{}", key.replace('.', "_").to_uppercase()), value.clone()))
            .collect();
        let _ = Loaded::read_from(&Flags::default(), variables);
        let file: Vec<String> = keys.iter().map(|key| format!("{key} = {number}")).collect();
        let _ = load_file("values", &file.join("\n"));
    }
}

#[test]
fn the_program_checks_and_prints() {
    let folder = Folder::new("program");
    let key = folder.file("publisher.key", "0123456789abcdef0123456789abcdef\n");
    let file = folder.file("ssekit.toml", &format!("publisher.key_file = {key:?}\nheartbeat = \"30s\"\n"));
    let usual = ["--store", "memory", "--addr", "127.0.0.1:0"];

    let output = run(ssekit().args(["serve", "--config", &file, "--check", "--anonymous"]).args(usual));
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{output:?}");

    let output = run(ssekit().args(["serve", "--config", &file, "--print"]).env("SSEKIT_STALL", "40s"));
    assert_eq!(output.status.code(), Some(0));
    let printed = text(&output.stdout);
    for (line, origin) in [
        (format!("publisher.key_file = {key:?}"), format!("{file}:1")),
        ("heartbeat = \"30s\"".to_owned(), format!("{file}:2")),
        ("stall = \"40s\"".to_owned(), "SSEKIT_STALL".to_owned()),
    ] {
        assert!(
            printed.lines().any(|printed| printed.starts_with(&line) && printed.ends_with(&origin)),
            "{printed}"
        );
    }

    let short = folder.file("short.key", "short");
    for (arguments, expected) in [
        (vec!["--key-file", &short], "ssekit: --key-file: the secret has 5 bytes and needs at least 32"),
        (vec!["--key", "short"], "ssekit: --key: the secret has 5 bytes and needs at least 32"),
        (
            vec!["--key-file", &key, "--algorithms", "ES256"],
            "ssekit: --key-file: none of the allowed algorithms fits",
        ),
        (
            vec!["--subscriber-jwks", &key],
            "ssekit: --subscriber-jwks: it is neither a key nor a key set in JSON, {\"keys\": [...]}: ",
        ),
        (
            vec!["--retention", "topic=a\u{7}"],
            "ssekit: --retention: \"a\\u{7}\" is not a topic, a URI template or *: ",
        ),
        (
            vec!["--retention", "topic=a last=1; topic=a age=1d"],
            "ssekit: --retention: two retention rules are named \"a\"",
        ),
        (
            vec!["--tls-cert", "/nowhere", "--tls-key", "/nowhere"],
            "ssekit: --tls-cert: cannot read /nowhere: No such file",
        ),
        (vec!["--heartbeat", "1"], "ssekit: --heartbeat: \"1\" is not a time"),
        (
            vec!["--key-file", "/nowhere"],
            "ssekit: --key-file: cannot read the key file /nowhere: No such file",
        ),
    ] {
        let output = run(ssekit().args(["serve", "--check"]).args(usual).args(arguments));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(expected), "{output:?}");
    }
    // The parser of flags reports an unknown flag, with the nearest name.
    let output = run(ssekit().args(["serve", "--heartbeet", "1s"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--heartbeat"), "{output:?}");
}

#[test]
fn warnings_are_log_lines_where_logs_are_json() {
    let serve = ["serve", "--store", "memory", "--addr", "127.0.0.1:0", "--dev"];
    let json = Program::start(ssekit().args(serve).args(["--log-format", "json"]));
    let line: serde_json::Value = serde_json::from_str(&json.stderr.find("--dev")).expect("it is JSON");
    assert_eq!(line["level"], "WARN");
    let text = Program::start(ssekit().args(serve));
    assert!(text.stderr.find("--dev").starts_with("ssekit: --dev: everyone on this machine can publish"));
}

#[test]
fn help_is_short_unless_it_is_asked_for_at_length() {
    let short = text(&run(ssekit().args(["serve", "-h"])).stdout);
    let long = text(&run(ssekit().args(["serve", "--help"])).stdout);
    for flag in ["--addr", "--store", "--publisher-key-file", "--anonymous", "--dev"] {
        assert!(short.contains(flag) && long.contains(flag), "{flag}:\n{short}");
    }
    assert!(!short.contains("--limits-recent") && long.contains("--limits-recent"), "{short}");
    assert!(short.contains("[default: 127.0.0.1:3000]") && long.contains("[default: 16MiB]"), "{long}");
    let width = |text: &str| text.lines().map(str::len).max();
    assert!(width(&long) <= Some(132), "{long}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
