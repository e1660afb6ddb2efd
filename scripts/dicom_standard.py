"""The DICOM standard for dicom-validator, without dicom.nema.org: from the tables that the package dicom-standard holds.

Usage: pip install dicom-standard==0.1.0; python scripts/dicom_standard.py [-o ~/dicom-validator]

dicom-standard is Innolitics' transcription to JSON (MIT license) of the edition that was current in April 2020. What it says of
MR Image, Enhanced MR Image and Parametric Map is written as DocBook, as NEMA lays out parts 3, 4 and 6, so that dicom-validator
reads conditions and enumerated values itself, on its first run:

    python -m dicom_validator.validate_iods -e local FILE_OR_FOLDER
"""

import argparse
import json
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import files
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from pydicom.uid import UID_dictionary

EDITION = "2020a"
DOCBOOK = "http://docbook.org/ns/docbook"
IODS = {
    "mr-image": "1.2.840.10008.5.1.4.1.1.4",
    "enhanced-mr-image": "1.2.840.10008.5.1.4.1.1.4.1",
    "parametric-map": "1.2.840.10008.5.1.4.1.1.30",
}
GROUPS = "(5200,9229)", "(5200,9230)"  # sequences of functional groups
NAMES = {"p": "para", "div": "note", "ul": "itemizedlist", "ol": "orderedlist", "li": "listitem", "td": "td"}


def table(name: str) -> Any:
    """One of the package's tables; SystemExit where it is not installed."""
    try:
        return json.loads(next(path for path in files("dicom-standard") or () if path.name == f"{name}.json").read_text())
    except ModuleNotFoundError as error:
        raise SystemExit("needs the package dicom-standard; pip install dicom-standard==0.1.0") from error


def element(name: str, *inside: Element | str, **attributes: str) -> Element:
    """A DocBook element; text is its first, if any."""
    made = Element(f"{{{DOCBOOK}}}{name}", attributes)
    for one in inside:
        if isinstance(one, str):
            made.text = one
        else:
            made.append(one)
    return made


def section(label: str, title: str, *inside: Element) -> Element:
    """A section that others refer to by its label."""
    return element("section", element("title", title), *inside, label=label)


def rows(lines: Iterable[list[Element]]) -> Element:
    """A table of these lines of cells."""
    return element("table", element("tbody", *(element("tr", *line) for line in lines)))


def cells(*texts: str) -> list[Element]:
    """Cells of a table that hold texts."""
    return [element("td", element("para", text)) for text in texts]


def link(label: str) -> Element:
    """A cell that refers to a section."""
    return element("td", element("para", element("xref", linkend=f"sect_{label}")))


def docbook(html: Element, links: dict[str, str]) -> Element:
    """What stands in an element of HTML. links: labels of sections by the words that refer to them."""
    if html.tag == "div" and html.find("dl") is not None:
        return variables(html)
    made = element(NAMES.get(html.tag, "emphasis"), html.text or "")
    for child in html:
        if child.tag in ("span", "a") and "href" in child.attrib:
            inside = element("xref", linkend=f"sect_{links.get(''.join(child.itertext()), '')}")
        elif child.tag in ("h3", "br"):
            inside = element("emphasis")
        else:
            inside = docbook(child, links)
        inside.tail = child.tail
        made.append(inside)
    return made


def variables(html: Element) -> Element:
    """A list of enumerated values or defined terms."""
    title = " ".join(html.findtext("p/strong", "").split())
    terms = ["".join(term.itertext()).strip() for term in html.iterfind("dl/dt")]
    return element("variablelist", element("title", title), *(element("varlistentry", element("term", term)) for term in terms))


def referred(url: str) -> str:
    """The label of the section that a reference to part 3 points to."""
    return url.partition("#sect_")[2]


def attribute(row: dict[str, Any], names: dict[str, str]) -> list[Element]:
    """The cells of an attribute: its name, indented by its depth, tag, type and description."""
    links = {reference["title"]: referred(reference["sourceUrl"]) for reference in row["externalReferences"]}
    depth = ">" * (row["path"].count(":") - 1)
    return [
        *cells(depth + names[row["tag"]], row["tag"], row["type"]),
        docbook(ElementTree.fromstring(row["description"]), links),
    ]


def attributes(described: list[dict[str, Any]], names: dict[str, str]) -> Iterator[list[Element]]:
    """The lines of a module or macro; the package leaves out that sequences of functional groups hold macros."""
    for row in described:
        yield attribute(row, names)
        if row["tag"] in GROUPS:
            yield cells(">Include one or more Functional Group Macros")


def usage(row: dict[str, Any]) -> str:
    """M, U, or C and its condition."""
    condition = re.sub(r"^\W+", "", row["conditionalStatement"] or "")
    return f"{row['usage']} - {condition}" if condition else row["usage"]


def iod(name: str, key: str, titles: dict[str, str]) -> Element:
    """The section of an IOD: its modules and its functional group macros; titles: of both."""
    modules = [
        [*cells(row["informationEntity"], titles[row["moduleId"]]), link(f"C.module-{row['moduleId']}"), *cells(usage(row))]
        for row in table("ciod_to_modules")
        if row["ciodId"] == key
    ]
    macros = [
        [*cells(titles[row["macroId"]]), link(f"C.macro-{row['macroId']}"), *cells(usage(row))]
        for row in table("ciod_to_fg_macros")
        if row["ciodId"] == key
    ]
    inside = [section(f"A.{key}.1", f"{name} IOD Module Table", rows(modules))]
    if macros:
        inside.append(section(f"A.{key}.2", f"{name} Functional Group Macros", rows(macros)))
    return section(f"A.{key}", f"{name} Information Object Definition", *inside)


def part3() -> Element:
    """IODs, modules, macros, and the sections that these refer to."""
    names = {row["tag"].replace("X", "x"): row["name"] for row in table("attributes")}
    described: list[Element] = []
    titles: dict[str, str] = {}
    for kind, key in (("module", "moduleId"), ("macro", "macroId")):
        titles |= {row["id"]: row["name"] for row in table(f"{kind}s")}
        relation = "ciod_to_modules" if kind == "module" else "ciod_to_fg_macros"
        used = {row[key] for row in table(relation) if row["ciodId"] in IODS}
        for one, inside in groupby(table(f"{kind}_to_attributes"), key=lambda row: row[key]):
            if one in used:
                described.append(section(f"C.{kind}-{one}", titles[one], rows(attributes(list(inside), names))))
    iods = [iod(row["name"], row["id"], titles) for row in table("ciods") if row["id"] in IODS]
    return element(
        "book",
        element("chapter", section("A.1", "Introduction"), *iods, label="A"),
        element("chapter", *described, *sections(), label="C"),
    )


def sections() -> Iterator[Element]:
    """Sections that descriptions refer to, which may hold enumerated values."""
    for url, html in table("references").items():
        yield section(referred(url), "", *(docbook(child, {}) for child in ElementTree.fromstring(html)))


def part4() -> Element:
    """Which IOD each SOP class is of."""
    lines = [
        [*cells(key, uid), element("td", element("para", element("olink", targetptr=f"sect_A.{key}")))]
        for key, uid in IODS.items()
    ]
    return element("book", element("chapter", section("B.5", "Standard SOP Classes", rows(lines)), label="B"))


def part6() -> Element:
    """Attributes, and UIDs of pydicom's dictionary."""
    fields = "name", "keyword", "valueRepresentation", "valueMultiplicity"
    known = [
        cells(row["tag"].replace("X", "x"), *(row[name] for name in fields), "RET" if row["retired"] == "Y" else "")
        for row in table("attributes")
    ]
    uids = [cells(uid, said[0], said[1], "Part") for uid, said in UID_dictionary.items()]
    return element("book", element("chapter", rows(known), label="6"), element("chapter", rows(uids), label="A"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", type=Path, default=Path.home() / "dicom-validator", help="folder of dicom-validator's standard")
    out = parser.parse_args().o
    folder = out / EDITION / "docbook"
    folder.mkdir(parents=True, exist_ok=True)
    ElementTree.register_namespace("", DOCBOOK)
    for number, part in ((3, part3), (4, part4), (6, part6)):
        ElementTree.ElementTree(part()).write(folder / f"part{number:02}.xml", encoding="utf-8")
    (out / "editions.json").write_text(json.dumps([EDITION]))


if __name__ == "__main__":
    main()
