use super::check::Checked;
use super::*;
use crate::detect::catalog::Catalog;

fn catalog() -> Catalog {
    Catalog::load(None).unwrap()
}

#[test]
fn what_is_built_in_names_nothing_that_does_not_exist() {
    for (id, text) in BUILT_IN {
        let framework = Framework::parse(id, text).unwrap();
        assert_eq!(framework.id, id);
        let checked = Checked::new(framework, &catalog()).unwrap_or_else(|e| panic!("{id}: {e}"));
        assert!(checked.notes.is_empty(), "{id}: {:?}", checked.notes);
    }
    let csf = Framework::load("nist-csf-2.0").unwrap();
    assert_eq!(csf.identifiers.len(), 106);
    for number in 1..=6 {
        let id = format!("PR.AA-0{number}");
        assert!(csf.part.iter().any(|part| part.id == id && part.always), "{id}");
    }
    // CSF 1.1 had these, and tools still print them under the name of 2.0.
    for old in ["PR.AC-1", "DE.AE-01", "PR.IP-1", "GV.PO-03", "DE.CM-04", "RS.AN-01"] {
        assert!(!csf.identifiers.iter().any(|id| id == old), "{old}");
    }
}

#[test]
fn every_detector_speaks_to_something() {
    let checked = Checked::new(Framework::load("nist-csf-2.0").unwrap(), &catalog()).unwrap();
    for detector in catalog().all() {
        assert!(
            checked.links.iter().any(|(_, links)| links.iter().any(|l| l.detector == detector.id)),
            "{}",
            detector.id
        );
    }
    let leads = checked.links.iter().flat_map(|(_, links)| links).filter(|link| link.detector == "impossible_travel");
    assert!(leads.clone().count() > 0 && leads.clone().all(|link| !link.decides));
}

#[test]
fn aliases_of_the_article_mean_what_they_should() {
    let csf = Framework::load("nist-csf-2.0").unwrap();
    let (ids, note) = csf.resolve("PR.AA-5").unwrap();
    assert_eq!(ids, ["PR.AA-05"]);
    assert!(note.unwrap().contains("permissions"));
    let nhi = Framework::load("owasp-nhi-2025").unwrap();
    assert_eq!(nhi.resolve("NHI-03").unwrap().0, ["NHI1:2025", "NHI7:2025"]);
    assert_eq!(nhi.resolve("nhi-07").unwrap().0, ["NHI7:2025"]);
    let error = csf.resolve("PR.AA-50").unwrap_err();
    assert!(error.contains("2.0 has no \"PR.AA-50\"; the nearest is \"PR.AA-0"), "{error}");
}

#[test]
fn a_file_adds_and_says_otherwise() {
    let text = "id = \"ours\"\nextends = \"nist-csf-2.0\"\n[[part]]\nid = \"PR.AA-6\"\ntitle = \"Doors\"\nreach = \"none\"\n\
                [[not_applicable]]\npart = \"PR.AA-06\"\nreason = \"no premises\"\nowner = \"a@example.com\"\n";
    let checked = Checked::new(Framework::parse("ours.toml", text).unwrap(), &catalog());
    // Resolved, it is the built-in part again.
    assert!(checked.unwrap_err().to_string().contains("PR.AA-06 has two [[part]]s"));
    let checked =
        Checked::new(Framework::parse("ours.toml", &text.replace("PR.AA-6\"", "PR.AA-06\"")).unwrap(), &catalog());
    assert!(checked.unwrap().framework.part.iter().any(|part| part.title == "Doors"));
}

#[test]
fn what_does_not_exist_is_named() {
    let part = |id: &str, detector: &str| {
        format!(
            "id = \"x\"\ntitle = \"X\"\nversion = \"1\"\nidentifiers = [\"A.5.16\"]\n[[part]]\nid = \"{id}\"\ntitle = \"t\"\n\
             reach = \"r\"\nevidence = [{{ detector = \"{detector}\", relation = \"supports\", why = \"w\" }}]\n"
        )
    };
    let says = |text: &str, part: &str| {
        let found = Framework::parse("x.toml", text).and_then(|framework| Checked::new(framework, &catalog()));
        let error = found.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    says(&part("A.5.17", "orphan_token"), "X 1 has no \"A.5.17\"; the nearest is \"A.5.16\"");
    says(&part("A.5.16", "orphan_tokn"), "did you mean \"orphan_token\"?");
    says(&part("A.5.16", "orphan_token").replace("supports", "suports"), "unknown variant");
    says("id = \"x\"\ntitle = \"X\"\nversion = \"1\"\n", "no [[part]]");
    assert!(Framework::load("nist-csf-2").unwrap_err().to_string().contains("did you mean \"nist-csf-2.0\"?"));
}
