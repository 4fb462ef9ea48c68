"""Writes lines in which a language model has no business: codes, plates, prices, foreign names.

    python benchmarks/lm_codes.py tune|test [LINES] >codes.txt
    vocr synth FOLDER --text codes.txt --text-share 1 --strength 0.7 --count LINES

`tune` and `test` share no name and no dice, so that a setting chosen on the one can be measured on the other.
"""

from __future__ import annotations

import sys
from random import Random

from vocr_cli.core.synth.text import templates

_RULES = ("id", "code", "plate", "price", "money", "phone", "web", "document", "measure")
_NAMES = (
    """
Schwarzenegger|Mbappé Lottin|Thibaut Courtois|Wojciech Szczęsny|Guangzhou Evergrande|Kuala Lumpur|Tchaikovsky
Hyundai Tucson|Xiaomi Redmi|Volkswagen Tiguan|Pfizer BioNTech|Jürgen Klopp|Krzysztof Piątek|Rhythm Khurana
Fukushima Daiichi|Björn Ulvaeus|Maersk Line|Wrigley Field|Dzhokhar Tsarnaev|Llewellyn Gwynne|Samsung Galaxy
Unilever Bestfoods|Nguyen Van Thinh|Tran Thi Bich|Zbigniew Brzezinski|Oxytetracycline|Amoxicillin Clavulanat
Ngô Viết Thụ Arch|Yamaha Exciter|Honda Winner X|Ahmad Zulkifli|Phokham Sisoulith|Kpă Klơng|Y Moan Ênuôl
Rammstein Live|Procter Gamble|Queensland Fruit|Sauvignon Blanc|Bordeaux Grand Cru|Chivas Regal|Heineken Silver
Krông Pắc|Đắk Glong|Ea H'leo|Pleiku Roh|Lũng Cú|Pu Sam Cáp|Hrê Bana|Cil Múp
Nikolai Podgorny|Emmanuel Macron|Shinzo Abe|Xi Jinping|Kim Jong Un|Park Chung Hee|Lech Walesa|Boutros Ghali
Paracetamol Stada|Cephalexin Domesco|Vinamilk Flex|Panasonic Inverter|Daikin Streamer|Electrolux Wash
Grzegorz Lato|Ousmane Dembélé|Xherdan Shaqiri|Ruud Gullit|Zlatan|Hwang Hee Chan|Chanathip Songkrasin
Jollibee Foods|Lotteria Seoul|Starbucks Reserve|Highlands Coffee|Phuc Long Tea|Gong Cha|Le Thi Thu Ha
Pham Minh Quang|Vo Hoang Yen|Bui Xuan Huan|Dang Thi My Dung|Nestlé Milo|Yakult Probi|Kotex Style
Azithromycin Sandoz|Metformin Denk|Siêu Kpă|Rơ Châm H'Yéo|Đinh Núp Bahnar|Ksor Phước|Brâu Rơmăm
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


def code_lines(half: str, count: int) -> list[str]:
    """Returns so many lines of a half, `tune` or `test`."""
    dice = Random(half)
    names = [name for index, name in enumerate(_NAMES) if index % 2 == (half == "test")]
    lines = []
    for _ in range(count):
        share = dice.random()
        if share < 0.4:
            lines.append(dice.choice(names))
        elif share < 0.55:
            series = dice.choice(("HĐ", "QĐ", "TB", "CV", "BB", "HĐLĐ", "SKU", "VN", "MST", "PNK"))
            place = dice.choice(("UBND", "TTg", "BTNMT", "HĐND", "XNK", "SGDĐT", "KCN", "TCKT"))
            sign = dice.choice("-/.")
            lines.append(f"{series}{sign}{dice.randint(1, 9999)}/{place}{sign}{dice.choice('ABCKQTX')}")
        else:
            lines.append(templates.expand(dice.choice(_RULES), dice))
    return lines


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 800
    sys.stdout.writelines(f"{line}\n" for line in code_lines(sys.argv[1], count))
