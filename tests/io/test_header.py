from pathlib import Path
from typing import Any

import numpy as np
import pytest
from io_files import header, phantom, to_kspace

from mri_d3gm.io.open_scan import open_scan
from mri_d3gm.io.raw.header import Encoding, Space, encoding_of, parse_xml, study_of

XML = header(32, 24)
EXPECTED = Encoding(Space((32, 24, 1), (48, 36, 4)), Space((32, 24, 1), (48, 36, 4)), (0, 23, 12))


def read(xml: Any) -> Encoding:
    return encoding_of(parse_xml(xml), 0)


def declared(encoding: str) -> str:
    return XML.replace('<?xml version="1.0"?>', f'<?xml version="1.0" encoding="{encoding}"?>')


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "us-ascii", "iso-8859-1", "utf-16", "windows-1252"])
def test_encodings(encoding: str) -> None:
    assert read(declared(encoding).encode(encoding)) == EXPECTED == read(declared(encoding))


def test_the_rest_of_the_schema_and_the_namespace_may_be_missing() -> None:
    assert read(XML) == EXPECTED == read(XML.replace(' xmlns="http://www.ismrm.org/ISMRMRD"', ""))


BROKEN: dict[str, Any] = {
    "unknown encoding": declared("klingon").encode(), "no text encoding": declared("base64").encode(),
    "encoding of several bytes": declared("utf-7").encode(), "another encoding": declared("utf-16").encode(),
    "not decodable": declared("us-ascii").encode() + b"<!--\xff-->", "empty": b"", "blank": " ",
    "text": "no header", "cut": XML[:300].encode(), "zeros": bytes(40), "number": np.float64(3), "nothing": None,
    "other XML": "<a/>", "no recon": XML.replace("reconSpace", "x"), "no y": XML.replace("<y>24</y>", ""),
    "fraction": XML.replace("<x>32</x>", "<x>32.5</x>"), "word": XML.replace("<x>32</x>", "<x>many</x>"),
    "negative": XML.replace("<x>32</x>", "<x>-32</x>"), "nan": XML.replace("<x>48.0</x>", "<x>nan</x>"),
    "huge": XML.replace("<x>32</x>", f"<x>{'9' * 5000}</x>"), "no maximum": XML.replace("maximum", "x"),
    "undefined entity": XML.replace("<x>32</x>", "<x>&many;</x>"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_every_failure_is_a_value_error(kind: str) -> None:
    with pytest.raises(ValueError):
        read(BROKEN[kind])


@pytest.mark.parametrize("kind", ["unknown encoding", "encoding of several bytes", "cut", "no recon"])
def test_a_file_with_a_broken_header_is_read_with_a_warning(kind: str, write_h5: Any) -> None:
    content = BROKEN[kind]
    path: Path = write_h5(kspace=to_kspace(phantom())[None].astype(np.complex64), ismrmrd_header=content)
    assert any("ismrmrd_header cannot be used" in warning for warning in open_scan(path).warnings)


def test_what_a_header_says_of_the_study() -> None:
    text = (
        "<ismrmrdHeader><subjectInformation><patientName>ZZMARKED</patientName><patientID>7</patientID></subjectInformation>"
        "<studyInformation><studyDate>2024-05-31</studyDate><studyTime>12:30:00</studyTime>"
        "<studyInstanceUID>1.2.3</studyInstanceUID></studyInformation>"
        "<measurementInformation><frameOfReferenceUID>xxxx</frameOfReferenceUID></measurementInformation></ismrmrdHeader>"
    )
    expected = {"PatientID": "7", "StudyInstanceUID": "1.2.3", "StudyDate": "20240531", "StudyTime": "123000"}
    assert study_of(parse_xml(text)) == expected
    assert study_of(parse_xml("<a/>")) == {}
