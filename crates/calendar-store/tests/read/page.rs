//! `docs/calendar-store-api.md` says what the code does: the programs are those of `examples/read`, the paths those of the document.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value};

/// What follows is made from the document.
const MARK: &str = "<!-- Generated from crates/calendar-store/openapi.json by `UPDATE=1 cargo test -p calendar-store --test read`. -->\n";
const PROGRAM: &str = "<!-- examples/read/";
/// Reasons that only a writer meets.
const OF_WRITERS: [&str; 2] = ["HeadMoved", "Inconsistent"];

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn document() -> Value {
    serde_json::from_str(&calendar_store::read::document()).unwrap()
}

/// The page as it is to be: programs after their marks, paths after theirs.
fn page(text: &str) -> String {
    let (head, _) = text.split_once(MARK).unwrap();
    let mut parts = head.split(PROGRAM);
    let mut page = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n").unwrap();
        // An old copy of the program goes.
        let rest = rest.strip_prefix("```").map_or(rest, |rest| rest.split_once("\n```\n").unwrap().1);
        let program = fs::read_to_string(file("examples/read").join(name)).unwrap();
        let language = match name.rsplit('.').next().unwrap() {
            "mjs" => "js",
            "py" => "python",
            "rs" => "rust",
            other => other,
        };
        write!(page, "{PROGRAM}{name} -->\n```{language}\n{program}```\n{rest}").unwrap();
    }
    page + MARK + &paths(&document())
}

fn fields<'a>(value: &'a Value, key: &str) -> &'a Map<String, Value> {
    value[key].as_object().unwrap()
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace("\n\n", "<br>").replace('\n', " ")
}

/// Tables of all paths, and of what answers consist of.
fn paths(document: &Value) -> String {
    let mut text = String::new();
    for (path, methods) in fields(document, "paths") {
        for (method, operation) in methods.as_object().unwrap() {
            write!(text, "\n### {} `{path}`\n\n{}\n", method.to_uppercase(), word(operation, "summary")).unwrap();
            let description = word(operation, "description");
            if !description.is_empty() {
                write!(text, "\n{description}\n").unwrap();
            }
            let parameters = operation["parameters"].as_array();
            if let Some(parameters) = parameters {
                text += "\n| parameter | in | type and bounds | meaning |\n| --- | --- | --- | --- |\n";
                for parameter in parameters {
                    let needed = if parameter["required"] == true { ", required" } else { "" };
                    let bounds = bounds(&parameter["schema"]);
                    let (name, place) = (word(parameter, "name"), word(parameter, "in"));
                    let meaning = cell(word(parameter, "description"));
                    writeln!(text, "| `{name}` | {place}{needed} | {bounds} | {meaning} |").unwrap();
                }
            }
            if let Some(body) = operation.get("requestBody") {
                let (kind, body_type) = content(body);
                let bounds = word(body, "description");
                write!(text, "\nBody: {body_type}, `{kind}`. {bounds}.\n").unwrap();
            }
            text += "\n| answer | body | meaning |\n| --- | --- | --- |\n";
            for (status, response) in fields(operation, "responses") {
                let (kind, body) =
                    if response.get("content").is_some() { content(response) } else { Default::default() };
                let body = if body.is_empty() { "none".to_owned() } else { format!("{body}, `{kind}`") };
                writeln!(text, "| {status} | {body} | {} |", cell(word(response, "description"))).unwrap();
            }
        }
    }
    for (name, schema) in fields(&document["components"], "schemas") {
        write!(text, "\n### {name}\n\n{}\n", word(schema, "description")).unwrap();
        if schema.get("properties").is_none() {
            write!(text, "\nA {}.\n", bounds(schema)).unwrap();
            continue;
        }
        text += "\n| field | type and bounds | meaning |\n| --- | --- | --- |\n";
        let needed: BTreeSet<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (field, schema) in fields(schema, "properties") {
            let absent = if needed.contains(field.as_str()) { "" } else { ", may be absent" };
            writeln!(text, "| `{field}` | {}{absent} | {} |", bounds(schema), cell(word(schema, "description")))
                .unwrap();
        }
    }
    text
}

/// Media types and what they hold.
fn content(value: &Value) -> (String, String) {
    let content = fields(value, "content");
    let kinds: Vec<&str> = content.keys().map(String::as_str).collect();
    let mut types: Vec<String> = content.values().map(|media| bounds(&media["schema"])).collect();
    types.dedup();
    (kinds.join("` or `"), types.join(" or "))
}

fn bounds(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    // What may be null is absent instead, or the other of two.
    let others = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    if let Some(others) = others {
        let kinds: Vec<String> = others.iter().filter(|schema| schema["type"] != "null").map(bounds).collect();
        return kinds.join(" or ");
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap(),
        kind => kind.as_str().unwrap_or("any"),
    };
    let mut said = if kind == "array" { format!("list of {}", bounds(&schema["items"])) } else { kind.to_owned() };
    let number = |key: &str| schema[key].as_i64();
    for (least, most, unit) in
        [("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items")]
    {
        match (number(least), number(most)) {
            (Some(least), Some(most)) => write!(said, ", {least} to {most}{unit}").unwrap(),
            (Some(least), None) => write!(said, ", at least {least}{unit}").unwrap(),
            (None, Some(most)) => write!(said, ", at most {most}{unit}").unwrap(),
            (None, None) => {}
        }
    }
    for key in ["format", "pattern"] {
        if let Some(word) = schema[key].as_str().filter(|word| *word != "int32") {
            write!(said, ", `{}`", cell(word)).unwrap();
        }
    }
    said
}

#[test]
fn the_page_has_the_programs_and_the_paths_as_they_are() {
    let path = file("docs/calendar-store-api.md");
    let text = fs::read_to_string(&path).unwrap();
    let wanted = page(&text);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == wanted, "docs/calendar-store-api.md is old: UPDATE=1 rewrites it");
    for entry in fs::read_dir(file("examples/read")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(wanted.contains(&format!("examples/read/{name}")), "the page does not show {name}");
    }
}

#[test]
fn the_page_names_every_path_parameter_and_reason() {
    let text = fs::read_to_string(file("docs/calendar-store-api.md")).unwrap();
    let document = document();
    let mut named = 0;
    for (path, methods) in fields(&document, "paths") {
        for (method, operation) in methods.as_object().unwrap() {
            let title = format!("### {} `{path}`\n", method.to_uppercase());
            let section = text.split(&title).nth(1).unwrap_or_else(|| panic!("{title}"));
            let section = section.split("\n### ").next().unwrap();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let row = format!("| `{}` | {}", word(parameter, "name"), word(parameter, "in"));
                assert!(section.contains(&row), "{title} lacks {row}");
                named += 1;
            }
        }
    }
    assert!(named > 30, "{named}");
    // What the code can say, by its own list: a reason that is added is missed here.
    let source = fs::read_to_string(file("crates/calendar-store-client/src/documents.rs")).unwrap();
    let reasons = source.split("pub enum Reason {").nth(1).unwrap().split('}').next().unwrap();
    let reasons = reasons.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.is_empty());
    let reasons: Vec<&str> =
        reasons.map(|line| line.trim_end_matches(',')).filter(|word| !OF_WRITERS.contains(word)).collect();
    assert!(reasons.len() >= 9, "{reasons:?}");
    let told = word(&document["components"]["schemas"]["Problem"]["properties"]["reason"], "description").to_owned();
    for reason in reasons {
        assert!(text.contains(&format!("\n| `{reason}` | ")), "the table of refusals lacks {reason}");
        assert!(told.contains(&format!("`{reason}`")), "the document lacks {reason}: {told}");
    }
}
