"""More of the grammar of `templates`: signs, menus, tables, symbols, English. All words are our own."""

from __future__ import annotations

GRAMMAR = r"""
en_subject:
  The manager | Our team | This product | The new office | Each passenger | The driver | Your order
  A visitor | The train to <foreign_place> | Mr. <foreign> | Mrs. <foreign> | The committee | Every student
  The museum
en_verb::
  opens closes needs offers checks follows receives includes supports requires delivers updates explains
en_object:
  the main entrance | two copies of the form | a valid ticket | free parking | the next meeting
  fresh fruit | a short report | the original invoice | hot meals | your passport | all items in the box
  the second floor | an extra charge of $<1-90> | one cup of green tea | the safety rules
  a discount of <5-70>%
en_when:
  every <weekday_en> | before <1-12>:<00-59> am | after <1-11> pm | on <1-31> <month_en> <year> | from June
  without notice | within <2-30> days | during the winter | in the evening | at no cost
weekday_en::
  Monday Tuesday Wednesday Thursday Friday Saturday Sunday
month_en::
  January February March April May June July August September October November December Jan Feb Sept Oct Dec
en_word::
  Welcome Open Closed Exit Entrance Sale New Free Hotel Coffee Bakery Fashion Studio Center Garden House
  Home Beauty Spa Mobile Computer Service Express Travel Food Kitchen Music Book Shop Store Market Total
  Cash Change Table Guest Date Time Order Invoice Receipt Delivery Warning Danger Push Pull Size Color Model
  Price Quantity Address Phone Signature Name Note Page Chapter Unit Amount Balance Account Bank Transfer
  Password Login Submit Cancel File Edit View Help Windows Android iPhone Wi-Fi Bluetooth USB HDMI Full
  Smart Premium Classic
english:
  <en_subject> <en_verb> <en_object>. | <en_subject> <en_verb> <en_object> <en_when>. | <en_word>
  <en_word> | <en_word> <en_word> | <^en_word> | <^en_word> <^en_word> | <en_word> & <en_word>
  No <en_word>! | <en_word>: <en_object> | Please keep <en_object> | <month_en> <1-31>, <year>
  <en_word> <1-99>: <en_word> | Made in <foreign_place> | Thank you for <en_object>! | <en_word> / <en_word>
  Do not touch <en_object> | © <year> <foreign> <en_word> | <en_word>™ | <en_word>® <d2>
  Tel. +<1-99> <d3> <d4>
foreign::
  Anderson Baker Collins Dubois Ericsson Fischer Garcia Hansen Ivanov Johnson Kowalski Lefèvre Martin Novak
  Olsen Petrov Quinn Rossi Schmidt Tanaka Ueda Vogel Williams Xavier Yamamoto Zhang Wright Jefferson Murphy
  Kim Park
foreign_place::
  London Paris Tokyo Seoul Singapore Bangkok Berlin Sydney Moscow Washington Zurich Geneva Jakarta Manila
  Osaka Busan Chicago Frankfurt Kuala-Lumpur Johannesburg Wellington
foreign_line:
  <foreign> <foreign> | <A1>. <foreign> | Dr. <foreign> | <foreign>, <foreign_place>
  ông <foreign> <foreign> | <foreign_place> (<A3>) | hãng <foreign> & <foreign> | bà <A1>. <A1>. <foreign>
  <foreign>’s <en_word>
plate:
  <11-99><A1>-<d3>.<d2> | <11-99><A1>-<d5> | <11-99><A1> <d5> | <11-99>-<A1><1-9> <d3>.<d2>
  <11-99><A1><d1>-<d4> | <11-99><A2>-<d3>.<d2> | BKS: <11-99><A1>-<d3>.<d2> | Biển số: <11-99><A1>-<d5>
  <11-99>-<A2> <d3>.<d2>
low:
  CO₂ | H₂O | SO₂ | NO₂ | O₂ | CH₄ | N₂O | H₂SO₄ | CO₃ | Fe₂O₃ | NH₃ | K₂O | P₂O₅ | C₂H₅OH | Na₂CO₃ | x₁
  x₂ | a₀ | t₁ | R₆ | Al₂O₃ | C₆H₁₂O₆
symbol:
  <low> | <low> <1-99> mg/m³ | khí <low> | nồng độ <low> | <low> + <low> → <low> | <1-99>,<d1> ‰
  <1-9><d1>‰ | độ mặn <1-35>‰ | <1-99> ± <1-9> | <1-99>,<d1> ± 0,<d1> <unit> | ≤ <1-99> <unit> | ≥ <1-99>%
  <1-9> ≠ <1-9> | x ≥ <1-99> | <1-9> ≈ 3,14 | <1-99> ≈ <1-99> | <1-99> ÷ <1-9> = <1-99> | <1-9>½ <unit> | ¼
  ¾ | ½ | <1-9>⁴ | 10⁵ | 10⁶ <unit> | 10³ | <1-99>·<1-99> | a → b | <syl> → <syl> | <Syl> ⇒ <Syl>
  ↑ <1-99>% | ↓ <1-9>,<d1>% | ← | → | ↑ | ↓ | «<Syl> <syl>» | £<1-99> | ¥<1-9>,<d3> | © <year> | ® | ™
  § <1-90> | Điều <1-90> § <1-9> | <1-99> m² | <1-999>,<d1> m² | <d3> m³ | cm² | <1-40>°C ÷ <41-90>°C
  <1-90> × <1-90> × <1-90> cm | ★★★☆☆ | ★ <Syl> <syl> | ☆ | ★ | ● | ○ | ■ | □ | ✓ | ✗ | ☐ | ☑ | ► | ◆
  <syl>¹ | <syl>² | (<1-9>)⁴ | n⁵ | y⁶
mark::
  • • • ● ■ □ ○ ► ➢ ➢ ❖ ◆ ★ ✓ ✓ → ⇒ - – + * · ☐ ☑
bullet:
  <mark> <Syl> <syl> <syl> | <mark> <Syl> <syl> <syl> <syl> <syl>; | <mark> <label>: <grouped>
  <mark> <goods> <quality> | <mark> <en_word> <en_word> | <mark><Syl> <syl> | <mark> <label> | ☐ Có ☐ Không
  ☑ Có ☐ Không | ☐ Nam ☑ Nữ | ☐ <label> ☐ <label> | ☑ <label> | ✓ <label> ✗ <label> | □ <label> □ <label>
  ■ <label> | [✓] <label>
leader:
  <Syl> <syl> <syl> <.8-60> <1-99> | Chương <roman> <.10-70> <1-99>
  <1-9>.<1-9>. <Syl> <syl> <.8-60> <1-99> | <Syl> <syl><.8-60><1-99> | Mục lục <.10-60> <1-9>
  <label> <.20-80> | <goods> <quality> <.5-40> <grouped>đ | <goods> <quality> ..... <1-99>k
  <label>: <.4-30> <label>: <.4-30> | … <syl> <syl> … | <label> ……… | <.3-60>
price:
  <grouped>đ | <grouped>Đ | <grouped> Đ | <receipt_sum> | <1-999>,000 | <1-999>,000đ | <1-99>k | <1-99>K
  <grouped> VND | <1-9>,<d3>,<d3> | <1-99>,<d3>,<d3> | <1-999>,<d3>,<d3> | <1-9>,<d3>,<d3>,<d3> | $<1-99>.99
  <1-99>.<d2> | <grouped>/kg | Giá: <grouped>đ | Giá <1-99>.000đ/<pack> | <grouped> - <grouped>đ | -<1-70>%
  SALE <1-70>% | Giảm <1-70>% | <1-99>.000
row:
  <1-99> <person> <01-31>/<01-12>/<year> Nam <1-10>,<d1> | <1-99> <person> Nữ <place>
  <1-20> <goods> <quality> <pack> <1-99> | <Syl> <syl> <1-99> <1-99> <1-99> | <1-99> <1-99> <1-99> <1-99>
  <1-9>,<d2> <1-9>,<d2> <1-9>,<d2> | <d4> <d4> <d4>
  <1-20> <goods> <quality> <1-20> <receipt_sum> <receipt_sum> | <product> <receipt_sum>
  <^product> <1-9> <receipt_sum> | <receipt_word> <receipt_sum> | STT Họ và tên Ngày sinh Ghi chú
  <label> <1-99>% <1-99>% | <A1><d2> <A1><d2> <A1><d2>
trade:
  CỬA HÀNG | QUÁN | NHÀ HÀNG | TIỆM | SIÊU THỊ | NHÀ THUỐC | CÀ PHÊ | PHÒNG KHÁM | TIỆM VÀNG | HIỆU SÁCH
  LÒ BÁNH MÌ | KHÁCH SẠN | NHÀ NGHỈ | XƯỞNG | ĐẠI LÝ | GARA Ô TÔ | SỬA XE | RỬA XE | TẠP HÓA | HỚT TÓC
  ẢNH VIỆN | VẬT LIỆU
dish:
  Phở bò tái | Bún chả | Cơm tấm sườn | Bánh xèo | Gỏi cuốn | Lẩu cá | Canh chua | Gà nướng muối ớt
  Mực hấp gừng | Chè đậu | Sinh tố bơ | Nước ép cà rốt | Trà đào cam sả | Bạc xỉu | Cà phê sữa đá
  Ốc len xào dừa | Nem rán | Bò kho | Hủ tiếu khô | Xôi gấc | Cháo vịt | Tôm rang me | <goods> <quality>
  <goods> <quality> nướng | <goods> xào <syl> | <Syl> <syl> hấp bia
sign:
  <trade> <^surname> <^given> | <trade> <^syl> <^syl> | <^given> | <^syl> <^syl> | <Syl> <Syl> | <dish>
  <dish> | <dish> | <^dish> | <^dish> | <dish> <1-99>k | <dish> <price> | <price> | <price>
  <en_word> <Syl> | <^en_word> <^given> | ĐT: 0<3-9><d8> | 0<3-9><d2>.<d3>.<d3>
  Hotline 0<3-9><d2> <d3> <d3> | <1-300> <^street> | MỞ CỬA <1-9>H - <10-23>H | CẤM ĐỖ XE | LỐI VÀO | LỐI RA
  THU NGÂN | BÁN VÉ SỐ | NHẬN GIỮ XE | KHUYẾN MÃI | GIẢM GIÁ <1-70>% | Xin giữ trật tự
  Quý khách để xe đúng chỗ | TẬP <1-9> | QUYỂN <1-9> | Toán <1-12> | Lớp <1-12><A1>
  Nhà xuất bản <Syl> <Syl> | <person> | <^person> | TRUYỆN NGẮN | TIỂU THUYẾT | Thơ <given>
  <Syl> <syl> và <syl> <syl> | <^syl> <^syl> <^syl> | <year> | Số <1-99> | <word> | <word> | <^word>
  <^word> | <^word> <^word> | <Syl> | <1-99> | <A1> | <A2> | <^en_word> | <mark> <dish> | WC | ATM
word::
  đường trời biển nguồn những được người phương trưởng thưởng nữ ngữ chữ sữa nghĩa mẫu lẫn rẻ nhỏ khỏe cửa ở
  bởi phở mở tiền hiền điểm điện tiến biết quyền nghiệp ổn bổ đổi hồng tổng ủy thủy tỷ kỹ kỷ mỹ lý ý ấm ẩm
  ẫm cấm cầm cẩm ngẫm nhận nhẫn thấp thập bắc bằng bẳng bẵng đặc đắc lẩu lậu ngỗng ngổng mộng mỏng mõng ngọt
  ngột ngớt
note:
  <person> - <phone> | Gửi <title> <person> | <address> | <address> | <date>
  Mua <goods> <quality>, <goods> | <Syl> <syl> <syl> <syl> | Hẹn <time> thứ <weekday> | Đã nhận <money>
  Bài <1-30>: <Syl> <syl> | Lớp: <1-12><A1><1-9> | Điểm: <1-10> | <person> | Nhớ <syl> <syl> trước <time>
  Kính gửi <title> <person> | <Syl> <syl>, <syl> <syl> <syl> | <place>, <date> | <word> <word> <word>
"""
