// Everything here works on the page alone: nothing is sent anywhere.
() => {
  const give = (input, files) => {
    if (!input || !files.length) return;
    const transfer = new DataTransfer();
    files.forEach((file) => transfer.items.add(file));
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // Paste: hand the picture to the uploader as if it had been chosen.
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData && event.clipboardData.files;
    const input = document.querySelector("#cxr-upload input[type=file]");
    if (!files || !files.length || !input || !input.offsetParent && !document.querySelector("#cxr-upload").offsetParent) return;
    give(input, [files[0]]);
    event.preventDefault();
  });

  // Folders, chosen or dropped: their files, hidden ones left out, as if they had been chosen one by one.
  const batch = () => document.querySelector("#cxr-files input[type=file]");
  const visible = (files) => files.filter((file) => !file.name.startsWith("."));
  window.cxrFolder = () => {
    const picker = document.createElement("input");
    picker.type = "file";
    picker.webkitdirectory = true;
    picker.onchange = () => give(batch(), visible([...picker.files]));
    picker.click();
  };
  const inside = async (entry) => {
    if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
    const reader = entry.createReader(), found = [];
    for (;;) {
      // A reader gives at most a hundred entries at a time.
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) return found;
      for (const child of some) found.push(...await inside(child));
    }
  };
  document.addEventListener("drop", async (event) => {
    const zone = event.target.closest && event.target.closest("#cxr-files");
    const entries = zone ? [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean) : [];
    if (!entries.some((entry) => entry.isDirectory)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    event.target.dispatchEvent(new DragEvent("dragleave", { bubbles: true }));
    const files = [];
    for (const entry of entries) files.push(...await inside(entry));
    give(batch(), visible(files));
  }, true);

  // Sort the batch table by a column; files without an answer stay last.
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".cxr-table button[data-sort]");
    if (!button) return;
    const head = button.closest("th"), table = button.closest("table"), body = table.tBodies[0];
    const descending = head.getAttribute("aria-sort") === "ascending";
    const key = button.dataset.sort, sign = descending ? -1 : 1;
    table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const value = (row) => row.dataset[key];
    const compare = (a, b) => {
      const [first, second] = [value(a), value(b)];
      if (first === "" || second === "") return (first === "") - (second === "");
      return sign * (key === "name" ? first.localeCompare(second, undefined, { numeric: true }) : first - second);
    };
    [...body.rows].sort(compare).forEach((row) => body.append(row));
  });

  // Downloads are made here from text, so that the server writes no file.
  window.cxrDownload = (text, name) => {
    const type = name.endsWith(".csv") ? "text/csv" : "application/json";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  // On a phone the answer lies below the uploader: bring it into view.
  window.cxrReveal = (id) => {
    const place = document.getElementById(id);
    if (place && place.getBoundingClientRect().top > window.innerHeight / 2) place.scrollIntoView({ block: "start" });
  };
}
