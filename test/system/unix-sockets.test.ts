import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Backend, HttpStream, Installation } from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { CERTIFICATE, KEY } from "../httpclient/certificate.ts";
import { mainJobRoutes, testMainJob } from "../main-job.ts";

describe("given backends behind sockets in the file system", () => {
  const directory = mkdtempSync(join(tmpdir(), "pp-"));
  let plain: Backend;
  let secure: Backend;
  let installation: Installation;

  beforeAll(async () => {
    plain = await startGripBackend({ path: join(directory, "plain") });
    secure = await startGripBackend({
      path: join(directory, "secure"),
      tls: { cert: CERTIFICATE, key: KEY },
    });
    installation = await Installation.start({
      routes: [
        `secure.test ${secure.address},ssl,insecure`,
        `untrusted.test ${plain.address},untrusted`,
        `failover.test unix:${directory}/none ${plain.address}`,
        ...mainJobRoutes(plain.address),
      ],
    });
  });
  afterAll(async () => {
    await installation?.stop();
    await plain?.stop();
    await secure?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  testMainJob(() => installation);

  test.each([
    ["secure.test", 200],
    ["failover.test", 200],
    ["untrusted.test", 502],
  ])("when %s is asked, then the answer is %i", async (host, status) => {
    const answer = await HttpStream.whole(`${installation.url}/echo`, { headers: { Host: host } });
    expect(answer.status).toBe(status);
  });

  test("when a backend is asked, then under the name the client used", () => {
    const hosts = new Set(plain.requests.map(({ headers }) => headers.host));
    expect([...hosts].sort()).toEqual([
      `127.0.0.1:${installation.port}`,
      "failover.test",
      "woh.test",
    ]);
  });
});
