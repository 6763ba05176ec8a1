// A server in the place of the browser: what it is asked, and what the page makes of its answers.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { test } from "node:test";
import { dist, draw, drop, launch, open, says } from "./support/browser.js";
import { serve } from "./support/server.js";

const PICTURE = (await readFile(new URL("reference/blue-star.png", import.meta.url))).toString("base64");

/**
 * A server of the HTTP interface that notes what it is asked; with `hold`, pictures never come; with `breaks`, as many
 * connections break before the picture; with `wrong`, that is the answer to what is asked for.
 */
async function studio(t, { hold = false, wrong = undefined, breaks = 0 } = {}) {
  const asked = [];
  let broken = 0;
  const event = (data) => `id: 1\ndata: ${JSON.stringify({ task_id: "t", ...data })}\n\n`;
  const routes = {
    "/health": () => ({ status: "healthy" }),
    "/generate": () => ({ status: "started", task_id: "t" }),
    "/cancel-generation": () => ({ status: "success" }),
    "/imagine": () => [PICTURE],
    "/sdapi/v1/img2img": () => ({ images: [PICTURE], parameters: {}, info: "{}" }),
    "/pipeline/devices": () => ({ devices: [{ id: "cpu", name: "Threadripper", kind: "cpu", selected: false }, { id: "gpu", name: "Radeon", kind: "gpu", selected: true }] }),
  };
  const server = createServer(async (request, response) => {
    const cors = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" };
    if (request.method === "OPTIONS") return response.writeHead(204, cors).end();
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { pathname } = new URL(request.url, "http://x");
    if (request.method === "POST") asked.push([pathname, Buffer.concat(chunks).toString()]);
    if (wrong && pathname === "/generate") {
      return response.writeHead(422, { ...cors, "content-type": "application/json" }).end(JSON.stringify(wrong));
    }
    if (pathname !== "/generate-stream/t") {
      return response.writeHead(200, { ...cors, "content-type": "application/json" }).end(JSON.stringify(routes[pathname]()));
    }
    response.writeHead(200, { ...cors, "content-type": "text/event-stream" });
    response.write(": a comment\n\n" + event({ status: "processing", step: 5, steps: 10, preview: PICTURE }));
    if (broken < breaks) {
      broken++;
      return setTimeout(() => response.destroy(), 50);
    }
    if (!hold) response.end(event({ status: "completed", step: 10, steps: 10, result: { image_url: PICTURE } }));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://localhost:${server.address().port}`, asked, die: () => server.close() && server.closeAllConnections(), broken: () => broken };
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
  assert.equal(await page.textContent("#device-line"), `The server ${there.url.slice(7)}`);
  const [[route, text]] = there.asked;
  assert.equal(route, "/generate");
  assert.match(text, /"prompt":"a blue star".*"width":128,"height":128,"steps":20,"guidance_scale":4,"seed":18446744073709551615/);
  assert.equal(await page.locator("#grid li").count(), 1);
});

test("cancelling reaches the server", async (t) => {
  const [site, there] = [await serve(t, dist), await studio(t, { hold: true })];
  const page = await open(await launch(t), site.url);
  await choose(page, there.url);
  await page.fill("#prompt", "a blue star");
  await page.click("#generate");
  await page.waitForFunction(() => document.querySelector("#phase").textContent === "Drawing, step 5 of 10");
  await page.click("#generate");
  await page.waitForFunction(() => document.querySelector("#phase").textContent === "Cancelled");
  while (there.asked.length < 2) await page.waitForTimeout(50);
  assert.deepEqual(there.asked.map(([route]) => route), ["/generate", "/cancel-generation"]);
});

test("events that break off are followed again, and nothing is asked for twice", async (t) => {
  const [site, there] = [await serve(t, dist), await studio(t, { breaks: 2 })];
  const page = await open(await launch(t), site.url);
  await choose(page, there.url);
  assert.match(await draw(page, "a blue star"), /^Drawn/);
  assert.equal(there.broken(), 2);
  assert.deepEqual(there.asked.map(([route]) => route), ["/generate"]);
});

test("events that break off again and again without getting any further are given up", async (t) => {
  const [site, there] = [await serve(t, dist), await studio(t, { breaks: Infinity })];
  const page = await open(await launch(t), site.url);
  await choose(page, there.url);
  await page.fill("#prompt", "a blue star");
  await page.click("#generate");
  await says(page, /^http:\/\/localhost:\d+: the (connection broke|events ended)/);
  // The first connection, and one after each of three pauses.
  assert.equal(there.broken(), 4);
});

test("a server that draws more than the page is what draws on a first visit, with what suits its model", async (t) => {
  const offer = { "x-easel-draws": JSON.stringify({ name: "sd-turbo", width: 512, height: 512, steps: 2 }) };
  const [site, there] = [await serve(t, dist, { headers: offer }), await studio(t)];
  const page = await open(await launch(t), site.url);
  await page.waitForFunction(() => document.querySelector("#place").value === "server");
  assert.equal(await page.inputValue("#server"), site.url.slice(0, -1));
  await page.fill("#server", there.url);
  assert.match(await draw(page, "a blue star"), /^Drawn/);
  assert.match(there.asked[0][1], /"width":512,"height":512,"steps":2,"seed":\d+}$/);
  await page.locator("#guidanceScale").fill("2");
  await page.reload();
  await page.waitForFunction(() => document.querySelector("#place").value === "server");
  await draw(page, "a blue star");
  assert.match(there.asked[1][1], /"steps":2,"guidance_scale":2,"seed":\d+}$/);
});

test("with a server nothing is said to be fetched, and the panel names its device", async (t) => {
  const [site, there] = [await serve(t, dist), await studio(t)];
  const page = await open(await launch(t), site.url);
  await page.waitForFunction(() => document.querySelector("#cost").textContent === "14 MB to fetch once");
  await choose(page, there.url);
  await page.waitForFunction(() => document.querySelector("#cost").textContent === "");
  await draw(page, "a blue star");
  await page.click("#open-device");
  await page.waitForSelector("#device[open]");
  assert.match(await page.textContent("#device-facts"), /The serverlocalhost:\d+Its deviceRadeon \(gpu\)/);
});

test("a server that is not there is named", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await choose(page, "http://localhost:9");
  await page.fill("#prompt", "a blue star");
  await page.click("#generate");
  await says(page, /^http:\/\/localhost:9\/health: no answer/);
});

test("a server that goes away or refuses is quoted in one line", async (t) => {
  const wrong = { detail: [{ loc: ["body", "height"], msg: "expected a multiple of 8", type: "invalid_field" }] };
  const [site, holds, refuses] = [await serve(t, dist), await studio(t, { hold: true }), await studio(t, { wrong })];
  const page = await open(await launch(t), site.url);
  await choose(page, holds.url);
  await page.fill("#prompt", "a blue star");
  await page.click("#generate");
  await page.waitForFunction(() => document.querySelector("#phase").textContent === "Drawing, step 5 of 10");
  holds.die();
  await says(page, /^http:\/\/localhost:\d+: the connection broke \(/);
  await choose(page, refuses.url);
  await page.click("#generate");
  await says(page, /^http:\/\/localhost:\d+\/generate: 422 height: expected a multiple of 8$/);
});

test("a picture to start from goes to the server too", async (t) => {
  const [site, there] = [await serve(t, dist), await studio(t)];
  const page = await open(await launch(t), site.url);
  await choose(page, there.url);
  await drop(page, new URL("reference/red-apple-7.png", import.meta.url));
  await page.click("#toast button");
  await page.locator("#strength").fill("0.5");
  assert.match(await draw(page, "a blue star"), /^Drawn/);
  const [[route, text]] = there.asked;
  assert.equal(route, "/imagine");
  assert.match(text, /"W":128,"H":128,"ddim_steps":20,"scale":4,"init_image":"iVBOR.*","strength":0.5,"seed":\d+/);
});

test("what is painted on a picture goes to the server as a mask", async (t) => {
  const [site, there] = [await serve(t, dist), await studio(t)];
  const page = await open(await launch(t), site.url);
  await choose(page, there.url);
  await drop(page, new URL("reference/red-apple-7.png", import.meta.url));
  await page.click("#toast button");
  await page.waitForSelector("#start-canvas:focus");
  await page.keyboard.press(" ");
  await page.keyboard.press("Enter");
  assert.match(await draw(page, "a blue star"), /^Drawn/);
  const [[route, text]] = there.asked;
  assert.equal(route, "/sdapi/v1/img2img");
  const { init_images, mask, denoising_strength, seed } = JSON.parse(text);
  assert.ok(init_images[0].startsWith("iVBOR") && mask.startsWith("iVBOR"));
  assert.ok(denoising_strength > 0 && Number.isInteger(seed));
});
