//! The scripts' language.

use std::collections::HashMap;

/// A sequence of requests.
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) commands: Vec<Command>,
}

/// One request: a word, its arguments in order, and `key=value` options.
#[derive(Clone)]
pub(crate) struct Command {
    pub(crate) text: String,
    pub(crate) words: Vec<String>,
    options: HashMap<String, String>,
}

impl Command {
    pub(crate) fn parse(text: &str) -> Self {
        let (mut words, mut options) = (Vec::new(), HashMap::new());
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) => drop(options.insert(key.to_owned(), value.to_owned())),
                None => words.push(word.to_owned()),
            }
        }
        Self { text: text.to_owned(), words, options }
    }

    pub(crate) fn word(&self, index: usize) -> &str {
        self.words.get(index).unwrap_or_else(|| panic!("`{}` needs more words", self.text))
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, index: usize) -> T {
        self.word(index).parse().unwrap_or_else(|_| panic!("`{}`: word {index} is no number", self.text))
    }

    pub(crate) fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.words.iter().skip(1).any(|found| found == word)
    }

    pub(crate) fn or<T: std::str::FromStr>(&self, key: &str, default: T) -> T {
        let Some(value) = self.option(key) else { return default };
        value.parse().unwrap_or_else(|_| panic!("`{}`: {key} is no number", self.text))
    }
}

pub(crate) fn parse(text: &str) -> Vec<Script> {
    let mut scripts = Vec::new();
    for part in text.split("\n= ").skip(1) {
        let mut lines = part.lines();
        let title = lines.next().unwrap();
        let (name, variants) = title.split_once('|').unwrap_or((title, ""));
        let body: Vec<_> = lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        let variants: Vec<_> =
            if variants.trim().is_empty() { vec![""] } else { variants.split_whitespace().collect() };
        for variant in variants {
            let commands = body.iter().map(|line| Command::parse(&line.replace("$v", variant))).collect();
            scripts.push(Script { name: format!("{} {variant}", name.trim()), commands });
        }
    }
    scripts
}
