// Drops images on the page and prints what it answers, as JSON.
// node drive_browser.mjs CHROMIUM URL SCREENSHOT IMAGE...
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { basename } from "node:path";

// It is installed where NODE_PATH says.
const { chromium } = createRequire(import.meta.url)("playwright-core");
const [executablePath, url, screenshot, ...images] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(url);
  await page.waitForFunction(() => document.getElementById("status").textContent === "Ready");
  const answers = [];
  for (const image of images) {
    const name = basename(image);
    // A real drop event, with a real file in it.
    const transfer = await page.evaluateHandle(
      ([name, base64]) => {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], name));
        return transfer;
      },
      [name, readFileSync(image).toString("base64")],
    );
    await page.dispatchEvent("#drop", "drop", { dataTransfer: transfer });
    await page.waitForFunction(
      (name) => document.getElementById("status").dataset.file === name,
      name,
    );
    const status = await page.evaluate(() => {
      const { textContent, dataset } = document.getElementById("status");
      return { text: textContent, box: dataset.box };
    });
    // The pixels of the canvas, to see that a box is drawn on them.
    const green = await page.evaluate(() => {
      const canvas = document.getElementById("canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let count = 0;
      for (let i = 0; i < data.length; i += 4) {
        if (data[i] === 0 && data[i + 1] === 224 && data[i + 2] === 0) count += 1;
      }
      return count;
    });
    answers.push({ text: status.text, box: JSON.parse(status.box ?? "null"), green });
  }
  await page.screenshot({ path: screenshot, fullPage: true });
  console.log(JSON.stringify({ answers, errors }));
} finally {
  await browser.close();
}
