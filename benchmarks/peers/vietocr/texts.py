"""Writes texts that a small model learns in minutes: common syllables, alone and in short lines.

python3 benchmarks/peers/vietocr/texts.py FOLDER     # FOLDER/words.txt and FOLDER/lines.txt, one entry a line
"""

import random
import sys
from pathlib import Path

SYLLABLES = """
ai anh ba bà bác bạn bán bao báo bay bảy bắc bằng bé bên bến bia biển bình bố bốn bởi bữa cá các cách cao
cát cảm cánh cần câu cây chạy chân cháu chào chị chiều chín cho chợ chúng chuyện chữ có con cô công cơm của
cũng cuộc cửa dài dạy dân dễ dòng dùng đã đang đánh đầu đây đẹp đến đi đèn điện đó đọc đông đồng đời đủ đúng
được đường em gà gạo gặp ghế gì giá giáo giấy gió giờ giữa gọi gửi hai hàng hạt hát hay hãy hẹn hè hiểu hoa
học hỏi hôm hồ huế hương im ít kể khách khi khó không khu kia lá làm lại lạnh lên lễ lịch lớn lớp lúa lúc
lửa mà máy mặt mất mẹ mới một mùa mua mưa muốn mười nam năm nay nào này nắng nấu nếu ngày nghe nghỉ người
nhà nhìn nhiều nhớ những nhỏ nói non nơi núi nước ông phải phía phố phòng phở qua quà quán quê ra rất rồi
rộng rừng sách sáng sao sáu sẽ sinh sông sống sớm sợ sửa ta tám tay tàu tên thành tháng tháp thấy thầy theo
thì thích thôn thơ thời thư thuyền tiền tiếng tin tìm tỉnh tối tôi tốt trà trăng trắng trẻ trên trong trời
trước trường từ tuần tuổi tươi ưng và vàng văn vẫn vậy vé về vì việc viết vịnh vở với vui vừa vườn xa xã
xanh xe xem xin xóm xuân xưa yên yêu ý
""".split()
ENTRIES = 20_000


def number(dice: random.Random) -> str:
    """A count, a price or a date."""
    return dice.choice(
        [
            str(dice.randint(1, 99)),
            f"{dice.randint(1, 999)}.000",
            f"{dice.randint(1, 28)}/{dice.randint(1, 12)}",
        ]
    )


def word(dice: random.Random) -> str:
    """One syllable, now and then two or a number."""
    if dice.random() < 0.1:
        return number(dice)
    text = " ".join(dice.choices(SYLLABLES, k=1 + (dice.random() < 0.25)))
    return text.capitalize() if dice.random() < 0.2 else text


def line(dice: random.Random) -> str:
    """2 to 8 syllables; a third begins with a capital, a quarter holds a number, some end with a stop."""
    words = dice.choices(SYLLABLES, k=dice.randint(2, 8))
    if dice.random() < 0.25:
        words[dice.randrange(len(words))] = number(dice)
    text = " ".join(words)
    if dice.random() < 0.33:
        text = text[0].upper() + text[1:]
    return text + dice.choice([".", "", "", ""])


def main() -> None:
    folder, dice = Path(sys.argv[1]), random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in (("words", word), ("lines", line)):
        entries = "".join(f"{make(dice)}\n" for _ in range(ENTRIES))
        (folder / f"{name}.txt").write_text(entries, encoding="utf-8")


if __name__ == "__main__":
    main()
