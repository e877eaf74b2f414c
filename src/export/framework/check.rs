//! Whether what a framework file and the detectors' headers name exists, and which detector speaks to which part.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Alias, Framework, FrameworkError, resolve};
use crate::detect::catalog::{Catalog, Detector};
use crate::detect::header::Kind;
use crate::export::model::Relation;
use crate::export::pack::folder_of;

/// Identifiers of frameworks that no pack is arranged by.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    title: String,
    version: String,
    identifiers: Vec<String>,
    #[serde(default)]
    alias: Vec<Alias>,
}

const REFERENCES: &str = include_str!("../../../queries/frameworks/references.toml");

/// Key in a detector's header, and the built-in framework whose identifiers stand there.
const HEADERS: [(&str, &str); 3] =
    [("csf", "nist-csf-2.0"), ("nhi", "owasp-nhi-2025"), ("nist_800_53", "nist-sp800-53-r5")];

/// A framework in which every name exists.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    pub framework: Framework,
    /// Of each part, in its order: the detectors that speak to it.
    pub links: Vec<(String, Vec<Link>)>,
    /// Of each detector: identifiers by key of its header.
    pub references: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// What was read otherwise than it was written.
    pub notes: Vec<String>,
}

/// That a detector speaks to a part.
#[derive(Clone, Debug)]
pub struct Link {
    pub detector: String,
    pub relation: Relation,
    pub decides: bool,
    pub why: String,
    pub folder: String,
}

impl Checked {
    /// Checks every identifier of the framework and of the detectors.
    ///
    /// # Errors
    /// Every mistake, each with the nearest name.
    pub fn new(mut framework: Framework, catalog: &Catalog) -> Result<Self, FrameworkError> {
        let mut checked = Self::default();
        let mut mistakes = Vec::new();
        for at in 0..framework.part.len() {
            match framework.resolve(&framework.part[at].id) {
                Ok((ids, note)) if ids.len() == 1 => {
                    framework.part[at].id.clone_from(&ids[0]);
                    checked.notes.extend(note);
                }
                Ok((ids, _)) => mistakes.push(format!(
                    "{} stands for several, {}: make a [[part]] for each",
                    framework.part[at].id,
                    ids.join(" and ")
                )),
                Err(sentence) => mistakes.push(sentence),
            }
        }
        for alias in &framework.alias {
            let unknown = alias.is.iter().filter(|id| !framework.identifiers.contains(id));
            mistakes
                .extend(unknown.map(|id| format!("alias {:?} is to be {id:?}, which does not exist", alias.written)));
        }
        for detector in catalog.all() {
            match references(detector, &mut checked.notes) {
                Ok(found) => {
                    checked.references.insert(detector.id.clone(), found);
                }
                Err(wrong) => mistakes.extend(wrong),
            }
        }
        checked.framework = framework;
        let links = checked.all_links(catalog, &mut mistakes);
        checked.links = links;
        checked.check_decisions(catalog, &mut mistakes);
        checked.notes.sort();
        checked.notes.dedup();
        if mistakes.is_empty() { Ok(checked) } else { Err(FrameworkError::Mistakes(mistakes)) }
    }

    /// Of each part what the file says, and what headers of detectors add that the file does not mention there.
    fn all_links(&self, catalog: &Catalog, mistakes: &mut Vec<String>) -> Vec<(String, Vec<Link>)> {
        let mut all: Vec<(String, Vec<Link>)> = Vec::new();
        for part in &self.framework.part {
            if all.iter().any(|(id, _)| *id == part.id) {
                mistakes.push(format!("{} has two [[part]]s", part.id));
                continue;
            }
            let mut links = Vec::new();
            for evidence in &part.evidence {
                match catalog.find(&evidence.detector) {
                    Ok(detector) => links.push(Link {
                        detector: detector.id.clone(),
                        relation: evidence.relation,
                        decides: evidence.decides
                            && detector.header.kind == Kind::Violation
                            && evidence.relation != Relation::ContributesTo,
                        why: evidence.why.clone(),
                        folder: folder_of(&part.id, &detector.id),
                    }),
                    Err(unknown) => mistakes.push(format!("{}: {unknown}", part.id)),
                }
            }
            for detector in catalog.all() {
                let named = self.framework.header.as_ref().and_then(|key| self.references.get(&detector.id)?.get(key));
                let names = named.is_some_and(|ids| ids.contains(&part.id));
                if names && !links.iter().any(|link| link.detector == detector.id) {
                    links.push(Link {
                        detector: detector.id.clone(),
                        relation: Relation::DetectsViolationOf,
                        decides: detector.header.kind == Kind::Violation && !part.supporting,
                        why: detector.header.summary.clone(),
                        folder: folder_of(&part.id, &detector.id),
                    });
                }
            }
            links.sort_by(|a, b| (!a.decides, &a.detector).cmp(&(!b.decides, &b.detector)));
            all.push((part.id.clone(), links));
        }
        all
    }

    fn check_decisions(&self, catalog: &Catalog, mistakes: &mut Vec<String>) {
        for decision in &self.framework.not_applicable {
            match (&decision.part, &decision.detector) {
                (Some(part), None) if self.framework.part.iter().any(|it| it.id == *part) => {}
                (Some(part), None) => mistakes.push(format!("not_applicable: there is no [[part]] {part:?}")),
                (None, Some(detector)) => {
                    mistakes.extend(catalog.find(detector).err().map(|e| format!("not_applicable: {e}")));
                }
                _ => mistakes.push("not_applicable: name one of part and detector".to_owned()),
            }
        }
        for detector in self.framework.population.keys() {
            mistakes.extend(catalog.find(detector).err().map(|e| format!("population: {e}")));
        }
    }
}

/// The identifiers in a detector's header, as they exist.
fn references(detector: &Detector, notes: &mut Vec<String>) -> Result<BTreeMap<String, Vec<String>>, Vec<String>> {
    let controls = &detector.header.controls;
    let (mut found, mut mistakes) = (BTreeMap::new(), Vec::new());
    let mut take = |key: &str, written: &[String], resolved: &dyn Fn(&str) -> Resolved| {
        let mut ids = Vec::new();
        for id in written {
            match resolved(id) {
                Ok((is, note)) => {
                    ids.extend(is);
                    notes.extend(note.map(|note| format!("{}: {note}", detector.id)));
                }
                Err(sentence) => mistakes.push(format!("{}: [controls] {key}: {sentence}", detector.file)),
            }
        }
        if !ids.is_empty() {
            found.insert(key.to_owned(), ids);
        }
    };
    for (key, id) in HEADERS {
        let written = match key {
            "csf" => &controls.csf,
            "nhi" => &controls.nhi,
            _ => &controls.nist_800_53,
        };
        match Framework::load(id) {
            Ok(framework) => take(key, written, &|id| framework.resolve(id)),
            Err(error) => return Err(vec![error.to_string()]),
        }
    }
    let all: BTreeMap<String, Reference> =
        toml::from_str(REFERENCES).map_err(|e| vec![format!("references.toml: {e}")])?;
    if let Some(attack) = all.get("attack") {
        let what = format!("{} {}", attack.title, attack.version);
        take("attack", &controls.attack, &|id| resolve(&what, &attack.identifiers, &attack.alias, id));
    }
    if mistakes.is_empty() { Ok(found) } else { Err(mistakes) }
}

type Resolved = Result<(Vec<String>, Option<String>), String>;
