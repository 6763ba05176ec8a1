// A server in the place of the browser: what it is asked, and what the page makes of its answers.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { test } from "node:test";
import { dist, draw, launch, open } from "./support/browser.js";
import { serve } from "./support/server.js";

const PICTURE = (await readFile(new URL("reference/blue-star.png", import.meta.url))).toString("base64");

/** A server of the dialect that notes what it is asked; `hold` keeps pictures back until it is interrupted. */
async function studio(t, { hold = false } = {}) {
  const asked = [];
  let release;
  const routes = {
    options: () => ({ sd_model_checkpoint: "somewhere" }),
    samplers: () => [{ name: "euler" }],
    progress: () => ({ progress: 0.5, state: { sampling_step: 5, sampling_steps: 10 }, current_image: PICTURE }),
    interrupt: () => release?.() ?? {},
    txt2img: async () => {
      if (hold) await new Promise((resolve) => (release = resolve));
      return { images: [PICTURE], info: JSON.stringify({ infotexts: ["a blue star"] }) };
    },
  };
  const server = createServer(async (request, response) => {
    const cors = { "access-control-allow-origin": "*", "access-control-allow-headers": "content-type" };
    if (request.method === "OPTIONS") return response.writeHead(204, cors).end();
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const route = request.url.replace("/sdapi/v1/", "");
    if (request.method === "POST") asked.push([route, Buffer.concat(chunks).toString()]);
    const answer = await routes[route]();
    response.writeHead(200, { ...cors, "content-type": "application/json" }).end(JSON.stringify(answer ?? {}));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => server.close());
  return { url: `http://localhost:${server.address().port}`, asked };
}

async function choose(page, address) {
  await page.selectOption("#place", "server");
  await page.fill("#server", address);
}

test("a server draws what the form asks for, seeds of 64 bits included", async (t) => {
  const [site, there] = [await serve(t, dist), await studio(t)];
  const page = await open(await launch(t), site.url);
  await choose(page, there.url);
  await page.fill("#seed", "18446744073709551615");
  await page.check("#keepSeed");
  assert.match(await draw(page, "a blue star"), /^Drawn/);
  assert.equal(await page.textContent("#device-line"), "somewhere on a server");
  const [[route, text]] = there.asked;
  assert.equal(route, "txt2img");
  assert.match(text, /"prompt":"a blue star".*"steps":20,"cfg_scale":4,"width":128,"height":128.*"seed":18446744073709551615/);
  assert.equal(await page.locator("#grid li").count(), 1);
});

test("cancelling interrupts the server", async (t) => {
  const [site, there] = [await serve(t, dist), await studio(t, { hold: true })];
  const page = await open(await launch(t), site.url);
  await choose(page, there.url);
  await page.fill("#prompt", "a blue star");
  await page.click("#generate");
  await page.waitForFunction(() => document.querySelector("#phase").textContent === "Drawing, step 5 of 10");
  await page.click("#cancel");
  await page.waitForFunction(() => document.querySelector("#phase").textContent === "Cancelled");
  while (there.asked.length < 2) await page.waitForTimeout(50);
  assert.deepEqual(there.asked.map(([route]) => route), ["txt2img", "interrupt"]);
});

test("a server that is not there is named", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await choose(page, "http://localhost:9");
  await page.fill("#prompt", "a blue star");
  await page.click("#generate");
  await page.waitForSelector("#toast div");
  assert.match(await page.textContent("#toast"), /^http:\/\/localhost:9\/sdapi\/v1\/options: no answer/);
});
