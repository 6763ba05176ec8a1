// The server that this page comes from, if it draws more than the page does. It says so in a header.

/**
 * What the server draws with, as far as it is known.
 * @typedef {{ name: string, width?: number | null, height?: number | null, steps?: number | null }} Drawer
 * @returns {Promise<Drawer | undefined>}
 */
export async function served() {
  try {
    const { headers } = await fetch(location.pathname, { method: "HEAD" });
    return JSON.parse(headers.get("x-easel-draws") ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}
