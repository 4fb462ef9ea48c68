"""A small grammar of the lines that fill Vietnamese documents. All words are our own writing.

Each rule lists alternatives: after `name:` they are parted by ` | ` or a line end, after `name::` by spaces.
One that stands twice is drawn twice as often. In an alternative `<name>` expands a rule, `<^name>` the same
in capitals, `<1-31>` is a number of that range, `<01-31>` the same padded with zeros, `<d4>` four random
digits, `<A2>` two random capitals, `<.2-40>` a run of so many dots, `<syl>` and `<Syl>` a random syllable.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from random import Random

from vocr_cli.core.synth.text import phrases
from vocr_cli.core.synth.text.syllables import legal_syllables

Part = str | Callable[[Random], str]

GRAMMAR = r"""
surname::
  Nguyễn Nguyễn Nguyễn Trần Trần Lê Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Đoàn Lâm
  Trịnh Mai Đào Cao Hà Tạ Chu Thái Lưu Lương Phùng Quách Tô Vương Triệu Kiều Mạc Âu Ông Ung
middle::
  Thị Thị Văn Văn Đức Hữu Minh Ngọc Thanh Quốc Xuân Hồng Thu Kim Công Đình Bá Thế Mỹ Bích <Syl>
given::
  An Anh Ánh Bảo Bình Châu Chi Cường Diễm Dũng Duyên Đạt Điệp Đông Giang Hà Hải Hằng Hạnh Hiền Hiếu Hoa Hoà
  Hùng Huệ Hương Huyền Khánh Khoa Kiên Lan Linh Loan Long Lộc Mai Mẫn Mỹ Nam Nga Ngân Nghĩa Nguyệt Nhung
  Oanh Phúc Phượng Quân Quỳnh Quyết Sơn Tâm Thắm Thảo Thủy Thuỷ Tiến Toàn Trâm Tú Tuyết Uyên Vân Vượng Xuyến
  Yến Ý <Syl> <Syl> <Syl>
person:
  <surname> <middle> <given> | <surname> <middle> <given> | <surname> <middle> <given>
  <surname> <middle> <given> | <surname> <middle> <Syl> <given> | <surname> <given>
title:
  Ông | Bà | Ông/Bà | Anh | Chị | Ths. | TS. | PGS.TS. | BS. | Cô giáo | Đồng chí
place:
  <Syl> <Syl> | <Syl> <Syl> | <Syl> <Syl> | Hà Nội | Hải Phòng | Đà Nẵng | Cần Thơ | Huế | Nghệ An
  Thanh Hóa | Thanh Hoá | Quảng Ngãi | Lâm Đồng | Đắk Lắk | Bà Rịa - Vũng Tàu | Hồ Chí Minh | Cà Mau
  Bắc Ninh | Hưng Yên | Thái Nguyên | Tuyên Quang | Lạng Sơn | Điện Biên
house:
  <1-999> | <1-99>/<1-30> | <1-99>A | <1-400>B | <1-99>/<1-30>/<1-9> | Số <1-300> | Lô C<1-20>
street:
  đường <person> | Đường <Syl> <Syl> | phố <Syl> <Syl> | ngõ <1-200> <Syl> <Syl> | đường <1-30> tháng <1-12>
  Quốc lộ <1-30> | khu phố <1-9> | tổ <1-30>
ward:
  phường <place> | Phường <1-20> | P. <place> | P.<1-20> | xã <place> | Xã <place> | thị trấn <place>
  TT. <place>
district:
  quận <1-12> | Quận <place> | Q. <place> | Q.<1-12> | huyện <place> | H. <place> | thị xã <place>
  TX. <place>
province:
  tỉnh <place> | Tỉnh <place> | thành phố <place> | TP. <place> | TP.HCM | TP. Hồ Chí Minh | Tp <place>
  <place>
address:
  <house> <street>, <ward>, <district>, <province> | <house> <street>, <ward>, <province>
  <house> <street>, <district> | <ward>, <district>, <province> | <ward> - <district> - <province>
  <district>, <province> | Địa chỉ: <house> <street>, <ward>, <province> | Đ/c: <house> <street>, <district>
  thôn <Syl> <Syl>, <ward>, <district> | Ấp <1-9>, <ward>, <district>, <province>
year:
  <1945-2035> | <2000-2030> | <2010-2026>
date:
  ngày <01-31> tháng <01-12> năm <year> | ngày <1-31> tháng <1-12> năm <year>
  Ngày <01-31> tháng <01-12> năm <year> | <place>, ngày <1-31> tháng <1-12> năm <year>
  <01-31>/<01-12>/<year> | <01-31>/<01-12>/<year> | <1-31>/<1-12>/<year> | <01-31>-<01-12>-<year>
  <01-31>.<01-12>.<year> | <year>-<01-12>-<01-31> | <01-31>/<01-12>/<10-30> | <01-12>/<year>
  tháng <1-12>/<year> | quý <roman>/<year> | thứ <weekday>, <01-31>/<01-12>/<year>
  Ngày: <01-31>/<01-12>/<year> <time> | năm <year> - <year> | ngày     tháng     năm <year>
weekday::
  hai ba tư năm sáu bảy
time:
  <00-23>:<00-59> | <00-23>:<00-59>:<00-59> | <0-23>h<00-59> | <0-23> giờ <1-59> phút | <1-12>:<00-59> PM
  <00-23>g<00-59>
roman::
  I II III IV V VI VII VIII IX X XI XII XV XX
grouped:
  <1-999>.000 | <1-999>.<d3> | <1-99>.<d3>.000 | <1-9>.<d3>.<d3> | <1-9>.<d3>.<d3>.000
receipt_sum::
  <1-999>,000 <1-999>,000 <1-99>,<d1>00 <1-9>,<d3>,000 <1-999>,<d3> <1-99>000 0 <1-99>,500
currency::
  đ đ đồng VND VNĐ ₫ USD $ € đ/kg
money:
  <grouped> <currency> | <grouped>đ | <grouped>₫ | <grouped> | <receipt_sum> | <receipt_sum>
  <receipt_sum> VND | <receipt_sum> đ | <receipt_sum>đ | -<receipt_sum> | <1-900> triệu đồng
  <1-90>,<d1> tỷ đồng | $<1-999>.<d2> | €<1-99> | <1-99>k | <digit_word> triệu <digit_word> trăm nghìn đồng
  (Bằng chữ: <digit_word> mươi <digit_word> nghìn đồng chẵn)
digit_word::
  một hai ba bốn năm sáu bảy tám chín mười lăm
phone:
  0<3-9><d8> | 0<3-9><d1> <d3> <d4> | 0<3-9><d1>.<d3>.<d4> | 0<3-9><d1>-<d3>-<d4> | (0<d2>) <d4> <d4>
  +84 <3-9><d1> <d3> <d4> | 02<d1>.<d8> | 1900 <d4> | 1800 <d4> | ĐT: 0<3-9><d8> | Điện thoại: 0<d2>.<d7>
  Hotline: 1900<d4> | Tel: (84-<d2>) <d8> | SĐT: 0<d9> | Fax: 0<d2> <d7>
id:
  0<d11> | <d12> | <d9> | CCCD: <d12> | Số CMND: <d9> | Số: <d12> | MST: <d10> | Mã số thuế: <d10>-<d3>
  <d3> <d3> <d3> <d3> | <A1><d7> | Số / No.: <d12> | Mã hồ sơ: <A2>-<d6> | <d4> <d4> <d4> <d4>
organ::
  UBND CP BTC BTNMT TTg BYT BGDĐT HĐND BTP BNV SXD TCT BCT VPCP STC BXD QH14 TƯ NHNN
kind::
  QĐ NĐ TT TTr KH BC TB CV HD NQ CT TTLT GP HĐ BB
document:
  Số: <1-900>/<year>/<kind>-<organ> | Số: <1-900>/<kind>-<organ> | <1-3000>/<kind>-<organ>
  <01-99>/<year>/<kind>-<organ> | Số:       /<kind>-<organ> | Luật số: <1-99>/<year>/QH<10-15>
  Nghị định số <1-200>/<year>/NĐ-CP ngày <1-31>/<1-12>/<year>
  Căn cứ Quyết định số <1-3000>/QĐ-<organ> ngày <1-31> tháng <1-12> năm <year>
  Điều <1-200>. <Syl> <syl> <syl> <syl> | Khoản <1-9> Điều <1-200>
  điểm a khoản <1-9> Điều <1-99> của Luật này | Chương <roman> | Mục <1-9> | § <1-90> | Phụ lục <roman>
  Mẫu số <01-30> | Biểu số <01-30>/<kind> | Trang <1-99>/<1-99> | - <1-99> - | §<1-90>
  <roman>/ <^syl> <^syl> | <1-9>.<1-9>.<1-9>. <Syl> <syl> <syl>
unit::
  kg g mg km m cm mm m² m³ cm² ha km/h °C % l ml lít kWh kVA kV W MB GB đ/kg tấn tạ yến mg/l km² V Hz dB ppm
  N/m² giờ phút
measure:
  <1-999> <unit> | <1-999><unit> | <1-99>,<d1> <unit> | <1-99>,<d2><unit> | <1-99>.<d1> <unit> | <1-99>°C
  <1-99>,<d1>% | <1-100>% | <1-90> × <1-90> cm | <1-90>x<1-90>x<1-90> | từ <1-50> đến <51-99> <unit>
  <1-40>–<41-90> <unit> | > <1-99> <unit> | <1-9>,5l | <1-99>/<1-99> | <1-9><d2>g | < <1-99> <unit>
  <1-9>² + <1-9>³ = <1-99> | <1-99>° <1-59>' <1-59>" | <1-99> m³/s | ~<1-99> <unit> | <1-9>^<1-9>
heading:
  CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM | CỘNG HOÀ XÃ HỘI CHỦ NGHĨA VIỆT NAM | Độc lập - Tự do - Hạnh phúc
  ĐỘC LẬP - TỰ DO - HẠNH PHÚC | ỦY BAN NHÂN DÂN | UỶ BAN NHÂN DÂN <^province> | ỦY BAN NHÂN DÂN <^district>
  SỞ <^syl> <^syl> VÀ <^syl> <^syl> | BỘ <^syl> <^syl> | QUYẾT ĐỊNH: | QUYẾT ĐỊNH | THÔNG BÁO | TỜ TRÌNH
  BÁO CÁO THÁNG <1-12> NĂM <year> | KẾ HOẠCH NĂM <year> | HÓA ĐƠN GIÁ TRỊ GIA TĂNG | HOÁ ĐƠN BÁN HÀNG
  PHIẾU THANH TOÁN | PHIẾU THU | GIẤY CHỨNG NHẬN | GIẤY BIÊN NHẬN | ĐƠN ĐĂNG KÝ <^syl> <^syl>
  ĐƠN XIN <^syl> <^syl> <^syl> | TỜ KHAI <^syl> <^syl> | HỢP ĐỒNG LAO ĐỘNG | BIÊN BẢN CUỘC HỌP
  CĂN CƯỚC CÔNG DÂN | GIẤY KHAI SINH | CÔNG TY CỔ PHẦN <^syl> <^syl> | CÔNG TY TNHH <^syl> <^syl> <^syl>
  TRƯỜNG TIỂU HỌC <^syl> <^syl> | KT. CHỦ TỊCH | TM. ỦY BAN NHÂN DÂN | TL. GIÁM ĐỐC | PHÓ CHỦ TỊCH
  Nơi nhận: | CHƯƠNG <roman> | PHẦN <roman>. <^syl> <^syl> <^syl> | <roman>. <^syl> <^syl> <^syl> <^syl>
  <^person> | <^address>
label:
  Họ và tên | Họ, chữ đệm, tên | Ngày sinh | Ngày, tháng, năm sinh | Giới tính | Dân tộc | Tôn giáo
  Quốc tịch | Quê quán | Nơi sinh | Nơi thường trú | Nơi ở hiện nay | Nghề nghiệp | Trình độ học vấn
  Địa chỉ | Địa chỉ liên hệ | Số điện thoại | Email | Số định danh cá nhân | Ngày cấp | Nơi cấp | Kính gửi
  Tên cơ quan, tổ chức | Chức vụ | Lý do | Nội dung | Ghi chú | Người đại diện | Tài khoản số
  Tại ngân hàng | Họ tên bố | Họ tên mẹ | Đề nghị giải quyết | Tên doanh nghiệp | Người nộp đơn | Diện tích
  Thời hạn sử dụng | Chữ ký | <Syl> <syl> <syl>
form:
  <label>: <.4-40> | <label>: <.4-40> | <label>:<.4-40> | <label> <.4-40> | <label> (<1-30>):<.2-30>
  <label> (<1-30>) <.2-30> | <label>(<1-20>)<.3-6> | <label>: .../.../...... | <label>: ..../..../<year>
  <label>:<.5-20>/<.5-20>/<.3-10> | ngày <.2-8> tháng <.2-8> năm <.2-8>
  <place>, ngày <.2-8> tháng <.2-8> năm <year> | <label>:<.5-25> <label>:<.5-20> | <label>: <person>
  <label>: <.2-8> <person> <.2-20> | <label>: <date> | [ ] <label> [x] <label> | <label>: ________
  <label>: | <label> (*) | <label>… | <label>: ………… | <.10-70> | (Ký, ghi rõ họ tên) | (<label> - nếu có)
  (ký tên, đóng dấu) | <1-20>. <label>: <.4-40> | • <label>: <place> | <roman>. <label>
  <label>: [ ] Nam [ ] Nữ | <label>: “<Syl> <syl>”
goods::
  Nước Sữa Bánh Kẹo Gạo Mì Bia Trà Cà-phê Dầu Xúc Thịt Cá Trứng Rau Chuối Táo Cam Khăn Giấy Xà-phòng Muối
  Đường Bột Tương Ớt Nem Chả Kem Bún Phở Hủ-tiếu Tôm Mực Đậu Mắm Bông Bút Vở Thước Áo Quần Dép Mũ Túi Pin
  Đèn
quality::
  suối tươi gạo chua mềm lúa xanh đỏ bò gà heo lợn ngọt dừa dâu chanh vàng trắng nhỏ lớn hộp gói ăn liền cao
  cấp đặc biệt <syl> <syl> <Syl>
size::
  <1-9>00g <1-9>50ml <1-5>L <1-9>kg <d2>g <1-9>00ml 1,5l <1-4>x<1-9>0g <d3>G
pack::
  GOI HOP CHAI LON KG CAI TUI BICH Gói Hộp Chai Lon Cái Túi Cuộn Thùng Ly Tô Phần Bịch
product:
  <goods> <quality> <size> | <goods> <quality> <quality> <size> | <goods> <quality> <A2> <size>
  <^goods> <^quality> <size> | <goods> <syl> <syl>
receipt:
  <product>  <1-20> x <receipt_sum> | <product>  <1-20>  <receipt_sum>  <receipt_sum>
  893<d10> <product> <A2> | 893<d10> | <product> | <^product> | <1-20> <pack> x <receipt_sum>
  <1-9> <receipt_sum> <receipt_sum> | <receipt_sum> x <1-9> | SL ĐVT Đơn giá Thành tiền
  SL  Giá bán  T.Tiền | STT Tên hàng ĐVT SL | <receipt_word>: <receipt_sum> | <receipt_word>: <receipt_sum>
  <receipt_word> | <receipt_word>: | <receipt_word> <receipt_sum> đ | <^receipt_word>: <receipt_sum>
  VAT <5-10>%: <receipt_sum> | Thuế suất GTGT: <5-10>% | Giảm giá <5-50>%: -<receipt_sum>
  Thu ngân: <A2><1-99> | Quầy: <d3> - Ca: <1-3> | Số HĐ: <d8> | Số CT: <A2><d6>-<d4> | Bàn <1-40>
  Ngày: <date> | HD: <A3><d7> | <01-31>/<01-12>/<year> <00-23>:<00-59>:<00-59>
  Cảm ơn quý khách và hẹn gặp lại! | <pack> | Đổi trả hàng trong vòng <1-30> ngày | ----------------------
  *** <^receipt_word> *** | ==========
receipt_word:
  Tổng cộng | Tổng tiền | Tổng tiền thanh toán | Thành tiền | Đơn giá | Số lượng | Tiền mặt | Tiền khách đưa
  Tiền thừa | Tiền trả lại | Chiết khấu | Phí dịch vụ | Thanh toán | Tổng SL | Làm tròn | Điểm tích lũy
  Khách hàng | Nhân viên | Cộng tiền hàng | Phiếu tính tiền | Hóa đơn | Giờ vào | Giờ ra | Mã vạch
host::
  <ascii>.vn <ascii>.com.vn <ascii>.gov.vn <ascii>.com <ascii>.edu.vn <ascii>-<ascii>.net
ascii::
  thu sach hoa nha xe bien song muavu tintuc chomoi banhang tuvan giaoduc maytinh dulich suckhoe vanban abc
  xyz qfw
web:
  www.<host> | https://<host> | http://<host>/<ascii>/<1-9999>
  https://<host>/?<ascii>=<d3>&p=<1-9>#<ascii> | Website: www.<host> | <ascii>@<host>
  <ascii>.<ascii><1-99>@<host> | <ascii>_<ascii>@<host> | Email: <ascii>@<host> | @<ascii>_<ascii>
  #<ascii> | C:\<ascii>\<ascii>.docx | <ascii>_<d3>.pdf
code:
  <A3>-<d4> | <A2><d6> | <A1><d1><A1><d2> | <d2><A1>-<d3>.<d2> | <d2><A1><d1> - <d5> | <d2><A1>-<d4>
  <A2>/<d2><A1> | <A4> | <d1><A1><d2><A2><d3> | #<d6> | <A2>_<d4> | (<A2>) | <A3> <d3>/<d2> | {<A2>}
  [<d3>]
item::
  <1-30>. <1-30>) a) b) c) d) đ) e) (<1-20>) <roman>. - + * •
short::
  <1-9> <1-99> <item> <A1> <unit> <organ> <1-100>% <d1>,<d1> <pack> <1-31>/<1-12> SL STT VND TT Số x X No.
  Mã Ca TC (a) Nam Nữ Có Từ Ở Ý Ô Ư Ồ Ớ Ế Ả Ạ Ỷ đ Đ & … – ° ₫ € × “ ” ‘ ’ •
person_line:
  <person> | <person> | <^person> | <title> <person> | <title> <person>, sinh năm <1940-2015>
  Người ký: <person> | <person> (<^syl>) | “<Syl> <syl>” - <person> | Kính gửi: <title> <person>
  <person>, <person>, <person>
"""


def _rules(grammar: str) -> dict[str, list[str]]:
    rules: dict[str, list[str]] = {}
    name, separator = "", ""
    for line in grammar.strip().splitlines():
        if not line.startswith(" "):
            name = line.rstrip(":")
            separator = " " if line.endswith("::") else " | "
        else:
            rules.setdefault(name, []).extend(line.strip().split(separator))
    return rules


RULES = _rules(GRAMMAR) | _rules(phrases.GRAMMAR)

_SLOT = re.compile(r"<(\^?)([^<>]+)>")
_RANGE = re.compile(r"(\d+)-(\d+)")


def _slot(inner: str) -> Callable[[Random], str]:
    """The function behind what stands between `<` and `>`."""
    if inner == "syl":
        syllables = legal_syllables()
        return lambda dice: dice.choice(syllables)
    if inner == "Syl":
        titled = tuple(syllable.capitalize() for syllable in legal_syllables())
        return lambda dice: dice.choice(titled)
    if inner in RULES:
        return lambda dice: expand(inner, dice)
    if match := _RANGE.fullmatch(inner.lstrip(".")):
        low, high = int(match[1]), int(match[2])
        if inner[0] == ".":
            return lambda dice: "." * dice.randint(low, high)
        width = len(match[2]) if match[1][0] == "0" and len(match[1]) > 1 else 0
        return lambda dice: str(dice.randint(low, high)).zfill(width)
    letters = string.digits if inner[0] == "d" else string.ascii_uppercase
    count = int(inner[1:])
    return lambda dice: "".join(dice.choices(letters, k=count))


def _capitals(fill: Callable[[Random], str]) -> Callable[[Random], str]:
    return lambda dice: fill(dice).upper()


def _parse(alternative: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    end = 0
    for match in _SLOT.finditer(alternative):
        parts.append(alternative[end : match.start()])
        parts.append(_capitals(_slot(match[2])) if match[1] else _slot(match[2]))
        end = match.end()
    return tuple(part for part in (*parts, alternative[end:]) if part)


_PARSED: dict[str, tuple[tuple[Part, ...], ...]] = {}


def expand(rule: str, dice: Random) -> str:
    """One random expansion of a rule; its spaces are not cleaned yet.

    Raises:
        KeyError: No such rule.
    """
    if rule not in _PARSED:
        _PARSED[rule] = tuple(map(_parse, RULES[rule]))
    return "".join(part if isinstance(part, str) else part(dice) for part in dice.choice(_PARSED[rule]))
