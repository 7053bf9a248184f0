import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { type Backend, freePorts, HttpStream, Installation, SocketClient } from "@pushpin/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startGripBackend } from "../grip-backend.ts";
import { CERTIFICATE, KEY } from "../httpclient/certificate.ts";
import { mainJobRoutes, testMainJob } from "../main-job.ts";

const tls = { cert: CERTIFICATE, key: KEY };

describe.each(["true", "false"])("given TLS on both sides and http2=%s", (http2) => {
  let backend: Backend;
  let installation: Installation;
  let port: number;

  beforeAll(async () => {
    backend = await startGripBackend({ tls });
    [port = 0] = await freePorts(1);
    installation = await Installation.start({
      routes: mainJobRoutes(`${backend.address},ssl,insecure`),
      config: { runner: { https_ports: `127.0.0.1:${port}` }, httpclient: { http2 } },
    });
    const certificates = join(installation.directory, "runner/certs");
    mkdirSync(certificates, { recursive: true });
    writeFileSync(join(certificates, `default_${port}.crt`), CERTIFICATE);
    writeFileSync(join(certificates, `default_${port}.key`), KEY);
  });
  afterAll(async () => {
    await installation?.stop();
    await backend?.stop();
  });

  testMainJob(() => ({
    url: `https://127.0.0.1:${port}`,
    controlUrl: installation.controlUrl,
  }));

  test("when requests were made, then the backend saw HTTP/2 where it may be spoken", () => {
    const overHttp2 = backend.requests.filter(({ headers }) => ":authority" in headers);
    expect(overHttp2.length > 0).toBe(http2 === "true");
    expect(overHttp2.length === backend.requests.length).toBe(http2 === "true");
  });
});

describe("given a backend whose certificate is trusted, and that wants one of its clients", () => {
  let installation: Installation;
  let directory: string;
  const server = createServer({ ...tls, requestCert: true, rejectUnauthorized: false });

  beforeAll(async () => {
    server.on("request", (request, response) => {
      const socket = request.socket as TLSSocket & { servername?: string };
      const subject = socket.getPeerCertificate().subject as { CN?: string } | undefined;
      response.end(`${request.headers.host} ${socket.servername} ${subject?.CN}`);
    });
    server.on("upgrade", (_request, socket) => {
      const subject = (socket as TLSSocket).getPeerCertificate().subject as { CN?: string };
      socket.end(`HTTP/1.1 403 ${subject.CN}\r\nContent-Length: 0\r\n\r\n`);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const target = `127.0.0.1:${(server.address() as AddressInfo).port},ssl`;
    directory = mkdtempSync(join(tmpdir(), "pp-"));
    const certificate = join(directory, "client.crt");
    const key = join(directory, "client.key");
    writeFileSync(certificate, CERTIFICATE);
    writeFileSync(key, KEY);
    installation = await Installation.start({
      routes: [
        `backend.test ${target}`,
        `other.test,path_beg=/trusting ${target},trust_connect_host`,
        `other.test,path_beg=/careless ${target},insecure`,
        `other.test,path_beg=/named ${target},host=backend.test`,
        `other.test ${target}`,
        `broken.test ${target},client_cert=${directory}/none,client_key=${directory}`,
        `client.test ${target},insecure,client_cert=${certificate},client_key=${key}`,
      ],
      env: { NODE_EXTRA_CA_CERTS: certificate },
    });
  });
  afterAll(async () => {
    await installation?.stop();
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const ask = async (host: string, path: string): Promise<[number, string]> => {
    const { status, text } = await HttpStream.whole(installation.url + path, {
      headers: { Host: host },
    });
    return [status, text];
  };

  test.each([
    ["backend.test", "/", 200, "backend.test backend.test undefined"],
    ["other.test", "/", 502, undefined],
    ["other.test", "/trusting", 200, "other.test other.test undefined"],
    ["other.test", "/careless", 200, "other.test other.test undefined"],
    ["other.test", "/named", 200, "backend.test backend.test undefined"],
    ["client.test", "/", 200, "client.test client.test backend.test"],
  ])("when %s%s is asked, then the answer is %i", async (host, path, status, text) => {
    const [seen, said] = await ask(host, path);
    expect([seen, text && said]).toEqual([status, text]);
  });

  test("when a certificate cannot be read, then its line is left out and the log says why", async () => {
    expect(await ask("broken.test", "/")).toEqual([502, "Route not found\n"]);
    expect(installation.runner.output).toMatch(/routes:6: failed to open .*none: ENOENT/);
  });

  test("when it is a WebSocket, then the certificates are the same", async () => {
    const url = installation.url.replace("http", "ws");
    await expect(SocketClient.open(url, { Host: "client.test" })).rejects.toThrow("403");
    await expect(SocketClient.open(url, { Host: "other.test" })).rejects.toThrow("502");
  });
});
