import { describe, expect, test } from "vitest";
import { type Mongrel2Plan, relabel, renderAdapter, renderMongrel2 } from "./mongrel2.ts";
import { parseServices } from "./services.ts";

const plan: Mongrel2Plan = {
  listeners: [
    { host: "127.0.0.1", port: 7999, isSecure: false },
    { host: "0.0.0.0", port: 7443, isSecure: true },
  ],
  rundir: "/run/p",
  logdir: "/log",
  ipcPrefix: "p1-",
  filePrefix: "p1-",
  certdir: "/etc/p/runner/certs",
  bufferBytes: 8192,
  connectionsMax: 50_000,
  level: 2,
};

describe("given two listeners of Mongrel2", () => {
  test("operations M3: when its configuration is made, then idents, limits and files are these", () => {
    const text = renderMongrel2(plan);
    expect(text).toContain('recv_ident="pushpin-m2-7999 "');
    expect(text).toContain('send_spec="ipc:///run/p/p1-m2-out-7999"');
    expect(text).toContain('recv_spec="ipc:///run/p/p1-m2-in-7999"');
    expect(text).toContain('control_port="ipc:///run/p/p1-m2-control-7999"');
    expect(text).toContain('"limits.buffer_size": 8192');
    expect(text).toContain('"superpoll.max_fd": 51000');
    expect(text).toContain('access_log="/log/p1-access_7999.log"');
    expect(text.match(/use_ssl=1/g)).toHaveLength(1);
    expect(text).toContain("servers = [server_7999, server_7443]");
    expect(renderMongrel2({ ...plan, logdir: undefined, level: 1 })).toMatch(
      /error_log="\/dev\/stdout"[^]*"disable.access_logging": 1/,
    );
  });

  test("when the adapter's is made, then it meets both", () => {
    const text = renderAdapter(plan);
    expect(text).toContain("m2_in_specs=ipc:///run/p/p1-m2-out-7999,ipc:///run/p/p1-m2-out-7443\n");
    expect(text).toContain("m2_send_idents=pushpin-m2-7999,pushpin-m2-7443\n");
    expect(text).toContain("zws_out_stream_specs=ipc:///run/p/p1-m2zws-out-stream\n");
  });
});

describe("given lines of Mongrel2", () => {
  test.each([
    ["Sat, 21 Nov 2026 GMT [ERROR] (src/x.c:1) bad", 0, "[ERR] T (src/x.c:1) bad"],
    ["Sat, 21 Nov 2026 GMT [INFO] (src/x.c:1) fine", 2, "[INFO] T (src/x.c:1) fine"],
    ["Sat, 21 Nov 2026 GMT [INFO] (src/x.c:1) fine", 1, undefined],
    ["Sat, 21 Nov 2026 GMT [DEBUG] much", 2, undefined],
    ["86:9:localhost,9:127.0.0.1,[ERROR] x]", 2, "[INFO] T 86:9:localhost,9:127.0.0.1,[ERROR] x]"],
    ["86:9:localhost,", 1, undefined],
    ["anything", 2, "[INFO] T anything"],
  ])("when %j comes at level %i, then it is %j", (line, level, expected) => {
    expect(relabel(line, level, "T")).toBe(expected);
  });
});

test("given Mongrel2 in services, when they are read, then an HTTP client is among them", () => {
  expect(parseServices(["handler", "m2adapter", "mongrel2", "pushpin-proxy"])).toEqual([
    "mongrel2",
    "m2adapter",
    "httpclient",
    "proxy",
    "handler",
  ]);
});
