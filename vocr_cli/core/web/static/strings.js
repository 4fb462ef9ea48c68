// What the pages say, in English and Vietnamese.

const TEXTS = {
  en: {
    pages: "Pages", label: "Label", train: "Train", try: "Try", theme: "Light or dark", keys: "Keys",
    progress: "Progress", order: "Order", show: "Show", search: "Search", list: "List", line: "Line",
    image: "Image of the line", text: "Text of the line", alternatives: "Alternatives", marks: "Vietnamese marks",
    accept: "Accept", unreadable: "Unreadable", notALine: "Not a line", skip: "Later", back: "Back",
    undo: "Undecided", more: "Alternatives", doubt: "Next doubt", zoom: "Zoom", rotate: "Rotate 180°",
    done: "Nothing left to show", lookAgain: "Look again", moreRows: "More", close: "Close",
    helpText: "Marks are put on the letter before the cursor; your keyboard's Vietnamese typing works as everywhere.",
    model: "model", second: "second model", labelTag: "label", loading: "being read …", confidence: "confidence",
    by: "by", left: "left", labelled: "labelled", of: "of", read: "read", chosen: "chosen",
    orders: { confidence: "least sure first", disagreement: "disagreement first", teach: "would teach most",
      shortest: "shortest first", longest: "longest first", source: "as listed" },
    shows: { undecided: "undecided", all: "all", text: "labelled", unreadable: "unreadable",
      "not-a-line": "not a line", changed: "image changed", failed: "cannot be opened" },
    saved: "Saved.", silent: "The server does not answer: nothing is lost, what you typed stays here.",
    silentFix: "Start it again with the same command, then press the key again.",
    newToken: "The server was started anew.", newTokenFix: "Open the new address that it printed.",
    theirs: "Keep that", mine: "Replace by mine", meanwhile: "decided meanwhile", changedImage: "The image has changed since it was decided.",
    notTaken: "Not taken.", unknownChars: "Saved, but the model has no class for:", noAlternatives: "No alternatives.",
    doneText: "Every line of this choice is decided.", stillReading: "The model is still reading: look again soon.",
    name: "Your name, kept with each decision:",
    restore: "The text as it was at first", moreBack: "The alternative before",
    elsewhere: "What is left was put off here, or is open in another page.",
    listing: "Lines are still being listed.", matching: "lines",
    remove: "no marks", copy: "Copy", copied: "Copied.", start: "Start training", stop: "Stop",
    commands: "Commands", minutes: "Minutes at most", notAllowed: "Start `vocr label` with --allow-train to start it from here.", runs: "Runs", noRuns: "No run yet.",
    state: "State", samples: "Sample readings", worst: "Worst lines of the validation set", compute: "Read the validation set",
    reading: "Reading", expected: "Label", step: "step", open: "open", loss: "Loss", cer: "CER", rate: "Learning rate", speed: "Lines/s",
    training: "training", validation: "validation", quick: "quick look", log: "Output",
    drop: "Drop images of lines or pages, or PDFs, here; or paste or choose them", choose: "Choose files",
    outcomes: { finished: "finished", stopped: "stopped" },
    readAs: "Read as", kinds: { auto: "line or page, as it looks", line: "a line", page: "a page" },
    asPage: "Read as a page", asLine: "Read as a line", copyText: "Copy the text", isRead: "read.", page: "page", turned: "to be turned by",
    boxes: "Where the lines stand", nothing: "No text was found.", noClipboard: "The browser gives no clipboard: select the text.",
  },
  vi: {
    pages: "Các trang", label: "Gán nhãn", train: "Huấn luyện", try: "Đọc thử", theme: "Sáng hoặc tối", keys: "Phím tắt",
    progress: "Tiến độ", order: "Thứ tự", show: "Hiện", search: "Tìm", list: "Danh sách", line: "Dòng",
    image: "Ảnh của dòng", text: "Nội dung của dòng", alternatives: "Cách đọc khác", marks: "Dấu tiếng Việt",
    accept: "Nhận", unreadable: "Không đọc được", notALine: "Không phải dòng chữ", skip: "Để sau", back: "Quay lại",
    undo: "Bỏ quyết định", more: "Cách đọc khác", doubt: "Chỗ ngờ kế tiếp", zoom: "Phóng to", rotate: "Xoay 180°",
    done: "Không còn dòng nào để hiện", lookAgain: "Xem lại", moreRows: "Thêm", close: "Đóng",
    helpText: "Dấu được đặt lên chữ đứng trước con trỏ; bộ gõ tiếng Việt của máy dùng được như mọi nơi.",
    model: "mô hình", second: "mô hình thứ hai", labelTag: "nhãn", loading: "đang đọc …", confidence: "độ tin cậy",
    by: "bởi", left: "còn lại", labelled: "đã gán nhãn", of: "trên", read: "đã đọc", chosen: "được chọn",
    orders: { confidence: "kém chắc trước", disagreement: "bất đồng trước", teach: "dạy được nhiều nhất",
      shortest: "ngắn trước", longest: "dài trước", source: "theo danh sách" },
    shows: { undecided: "chưa quyết", all: "tất cả", text: "đã gán nhãn", unreadable: "không đọc được",
      "not-a-line": "không phải dòng", changed: "ảnh đã đổi", failed: "không mở được" },
    saved: "Đã lưu.", silent: "Máy chủ không trả lời: không mất gì, chữ bạn gõ vẫn ở đây.",
    silentFix: "Chạy lại đúng lệnh cũ, rồi bấm lại phím.",
    newToken: "Máy chủ đã được chạy lại.", newTokenFix: "Mở địa chỉ mới mà nó in ra.",
    theirs: "Giữ bản kia", mine: "Thay bằng bản của tôi", meanwhile: "vừa quyết định", changedImage: "Ảnh đã đổi sau khi dòng được quyết định.",
    notTaken: "Chưa nhận.", unknownChars: "Đã lưu, nhưng mô hình không có ký tự:", noAlternatives: "Không có cách đọc khác.",
    doneText: "Mọi dòng trong lựa chọn này đã được quyết định.", stillReading: "Mô hình còn đang đọc: lát nữa xem lại.",
    name: "Tên bạn, ghi kèm mỗi quyết định:",
    restore: "Nội dung như lúc đầu", moreBack: "Cách đọc khác phía trước",
    elsewhere: "Phần còn lại đã để sau, hoặc đang mở ở trang khác.",
    listing: "Đang liệt kê các dòng.", matching: "dòng",
    remove: "bỏ dấu", copy: "Chép", copied: "Đã chép.", start: "Bắt đầu huấn luyện", stop: "Dừng",
    commands: "Lệnh", minutes: "Số phút tối đa", notAllowed: "Chạy `vocr label` với --allow-train để bắt đầu từ đây.", runs: "Các lần chạy", noRuns: "Chưa có lần chạy nào.",
    state: "Trạng thái", samples: "Đọc mẫu", worst: "Các dòng kém nhất của tập kiểm định", compute: "Đọc tập kiểm định",
    reading: "Đọc được", expected: "Nhãn", step: "bước", open: "mở", loss: "Hàm mất mát", cer: "CER", rate: "Tốc độ học", speed: "Dòng/giây",
    training: "huấn luyện", validation: "kiểm định", quick: "xem nhanh", log: "Đầu ra",
    drop: "Thả ảnh dòng chữ, ảnh trang hoặc PDF vào đây; hoặc dán, hoặc chọn tệp", choose: "Chọn tệp",
    outcomes: { finished: "đã xong", stopped: "đã dừng" },
    readAs: "Đọc như", kinds: { auto: "dòng hay trang, tùy ảnh", line: "một dòng", page: "một trang" },
    asPage: "Đọc như một trang", asLine: "Đọc như một dòng", copyText: "Chép nội dung", isRead: "đã đọc.", page: "trang", turned: "cần xoay",
    boxes: "Vị trí các dòng", nothing: "Không thấy chữ nào.", noClipboard: "Trình duyệt không cho chép: hãy bôi đen đoạn chữ.",
  },
};

export const remembered = (name) => { try { return localStorage.getItem(name) ?? ""; } catch { return ""; } };
export const remember = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private mode */ } };

let language = remembered("vocr-language") || (navigator.language.startsWith("vi") ? "vi" : "en");

export const t = (key) => TEXTS[language][key] ?? key;
export const percent = (value, digits = 1) => `${format(digits).format(100 * value)} %`;
export const count = (value) => format(0).format(value);

const formats = new Map();
function format(digits) {
  const key = `${language} ${digits}`;
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(language, { maximumFractionDigits: digits }));
  return formats.get(key);
}

// Fills in the texts of a page, anew when the language is changed.
export function translatePage(onChange = () => {}) {
  const fill = () => {
    document.documentElement.lang = language;
    for (const one of document.querySelectorAll("[data-t]")) {
      one.textContent = t(one.dataset.t);
      if (one.dataset.key) {
        const key = document.createElement("kbd");
        key.textContent = one.dataset.key;
        key.setAttribute("aria-hidden", "true");
        one.append(key);
        one.setAttribute("aria-keyshortcuts", one.dataset.key.replace("↓", "ArrowDown"));
      }
    }
    for (const one of document.querySelectorAll("[data-t-label]")) one.setAttribute("aria-label", t(one.dataset.tLabel));
    const button = document.getElementById("language");
    if (button) { button.textContent = language === "en" ? "Tiếng Việt" : "English"; button.lang = language === "en" ? "vi" : "en"; }
  };
  document.getElementById("language")?.addEventListener("click", () => {
    language = language === "en" ? "vi" : "en";
    remember("vocr-language", language);
    fill();
    onChange();
  });
  const theme = remembered("vocr-theme");
  if (theme) document.documentElement.dataset.theme = theme;
  document.getElementById("theme")?.addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).getPropertyValue("--ground").trim() === "#14171c";
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    remember("vocr-theme", document.documentElement.dataset.theme);
  });
  fill();
}
