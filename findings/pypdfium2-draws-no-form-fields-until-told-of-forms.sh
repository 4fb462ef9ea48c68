#!/usr/bin/env bash
# pypdfium2 draws none of what is filled into the fields of a PDF's form, visible signatures included, though page.render() has
# may_draw_forms=True by default: it heeds that only after document.init_forms(). One would expect the filled page, as viewers and poppler show
# it; met by who draws PDFs to recognise their text, which then lacks every answer of a form (pypdfium2 5.15.2, pikepdf 10.18.0).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check pypdfium2==5.15.2 pikepdf==10.18.0 numpy==2.3.5
cat >probe.py <<'PY'
from importlib.metadata import version

import pikepdf
import pypdfium2
from pikepdf import Array, Dictionary, Name

print("pypdfium2", version("pypdfium2"), "pikepdf", pikepdf.__version__)
with pikepdf.new() as pdf:
    page = pdf.add_blank_page(page_size=(300, 100))
    font = pdf.make_indirect(Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica))
    look = pdf.make_stream(b"/Tx BMC q BT /F 20 Tf 2 8 Td (NGUYEN VAN AN) Tj ET Q EMC")
    look.Type, look.Subtype, look.BBox = Name.XObject, Name.Form, Array([0, 0, 260, 30])
    look.Resources = Dictionary(Font=Dictionary(F=font))
    field = pdf.make_indirect(
        Dictionary(
            Type=Name.Annot, Subtype=Name.Widget, FT=Name.Tx, T="name", V="NGUYEN VAN AN", F=4,
            Rect=Array([20, 30, 280, 60]), AP=Dictionary(N=look), DA="/F 20 Tf 0 g",
        )
    )
    page.obj.Annots = Array([field])
    pdf.Root.AcroForm = Dictionary(Fields=Array([field]), DR=Dictionary(Font=Dictionary(F=font)))
    pdf.save("form.pdf")

dark = {}
for told in (False, True):
    document = pypdfium2.PdfDocument("form.pdf")
    if told:
        document.init_forms()
    pixels = document[0].render(scale=2, may_draw_forms=True).to_numpy()
    dark[told] = int((pixels[:, :, 0] < 128).sum())
    print(f"{'after init_forms()' if told else 'by default':20s} {dark[told]} dark pixels")
    document.close()
assert dark[True] > 200, "the field is not drawn at all"
assert dark[False] == 0, "fields are drawn by default now"
PY
env/bin/python probe.py
