// On paper there is no click: everything that is folded is printed open.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((fold) => (fold.open = true)));
