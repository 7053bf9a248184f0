import { Backend, HttpStream, Installation, until } from "@pushpin/testkit";
import { expect } from "vitest";
import { crash, type Role } from "./crash.ts";

/** What happens to requests that wait for a slow backend when a process between them and it dies. */
export async function expectSafeOnesToBeRepeated(role: Role): Promise<void> {
  const waiting: (() => void)[] = [];
  const slow = await Backend.start((request, response, body) => {
    waiting.push(() => response.end(`${request.method} ${body.toString()}`));
  });
  const installation = await Installation.start({ routes: [`* ${slow.address}`] });
  try {
    const get = HttpStream.whole(`${installation.url}/`);
    const put = HttpStream.whole(`${installation.url}/`, { method: "PUT", body: "whole" });
    const post = HttpStream.whole(`${installation.url}/`, { method: "POST", body: "whole" });
    await until("three requests", () => waiting.length === 3);
    await crash(installation, role);
    expect((await post).status).toBe(502);
    await until("two more", () => waiting.length === 5);
    for (const answer of waiting) answer();
    expect((await get).text).toBe("GET ");
    expect((await put).text).toBe("PUT whole");
  } finally {
    await installation.stop();
    await slow.stop();
  }
}
