"""Validates a pain.001.001.09 file against ISO 20022's own schema, as the PyPI
package sepaxml brings it, and prints its payments."""

import sys
from pathlib import Path

import sepaxml
import xmlschema

schema = xmlschema.XMLSchema(Path(sepaxml.__file__).parent / "schemas" / "pain.001.001.09.xsd")
document = schema.to_dict(sys.argv[1])
transfer = document["CstmrCdtTrfInitn"]
header = transfer["GrpHdr"]
print(header["NbOfTxs"], header["CtrlSum"])
for block in transfer["PmtInf"]:
    for payment in block["CdtTrfTxInf"]:
        amount = payment["Amt"]["InstdAmt"]
        print(payment["PmtId"]["EndToEndId"], amount["$"], amount["@Ccy"], payment["CdtrAcct"]["Id"]["IBAN"])
