import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import {
  freePorts,
  leavesOut,
  makeTestDirectory,
  missingPrograms,
  renderConfig,
  ROOT,
  type Sections,
  systemPath,
  TestProcess,
  until,
} from "@pushpin/testkit";
import { CERTIFICATE, KEY } from "../httpclient/certificate.ts";

/** Who plays each part: the original (1.36) or ours. Proxy and handler come from one house. */
export interface Parts {
  readonly connmgr: "ours" | "condure";
  readonly core: "ours" | "pushpin-1.36";
  readonly httpclient: "ours" | "zurl";
  /** Clients come over TLS. */
  readonly tls?: boolean;
}

const PEERS = ["condure", "zurl", "pushpin-proxy", "pushpin-handler"];

/** Whether tests that need the original's processes have to be left out. */
export function leavesOutPeers(): boolean {
  return leavesOut("tests beside the original's processes", missingPrograms(...PEERS));
}

/** A mix of our processes and the original's, each started by itself. */
export class Mix {
  readonly url: string;
  readonly controlUrl: string;
  /** Condure 1.9 does not close a TLS connection behind the closes of its WebSocket. */
  readonly leavesOpen: boolean;
  readonly #directory: string;
  readonly #processes: TestProcess[];

  private constructor(
    directory: string,
    url: string,
    leavesOpen: boolean,
    controlPort: number,
    processes: TestProcess[],
  ) {
    this.#directory = directory;
    this.url = url;
    this.leavesOpen = leavesOpen;
    this.controlUrl = `http://127.0.0.1:${controlPort}`;
    this.#processes = processes;
  }

  static async start(
    parts: Parts,
    routes: readonly string[],
    proxyKeys: Readonly<Record<string, string>> = {},
  ): Promise<Mix> {
    const directory = makeTestDirectory();
    const [port = 0, controlPort = 0, pushPort = 0, subPort = 0, commandPort = 0] =
      await freePorts(5);
    const run = join(directory, "run");
    mkdirSync(run);
    writeFileSync(join(directory, "routes"), `${routes.join("\n")}\n`);
    const config = join(directory, "pushpin.conf");
    const handler = {
      push_in_spec: `tcp://127.0.0.1:${pushPort}`,
      push_in_sub_specs: `tcp://127.0.0.1:${subPort}`,
      push_in_http_addr: "127.0.0.1",
      push_in_http_port: controlPort,
      command_spec: `tcp://127.0.0.1:${commandPort}`,
      stats_spec: `ipc://${run}/stats`,
      message_wait: 5000,
      connection_subscription_max: 20,
      subscription_linger: 60,
      stats_subscription_ttl: 60,
    };
    const runner = {
      services: servicesOf(parts),
      [parts.tls === true ? "https_ports" : "http_port"]: `127.0.0.1:${port}`,
    };
    const proxy = { routesfile: "routes", sig_key: "changeme", ...proxyKeys };
    writeFileSync(
      config,
      renderConfig(
        { global: { rundir: run, ipc_prefix: "p-" }, runner, proxy, handler },
        internals(run, parts),
      ),
    );
    const zurl = join(directory, "zurl.conf");
    writeFileSync(zurl, zurlConfig(run));
    const processes: TestProcess[] = [];
    const url = `${parts.tls === true ? "https" : "http"}://127.0.0.1:${port}`;
    const leavesOpen = parts.tls === true && parts.connmgr === "condure";
    const mix = new Mix(directory, url, leavesOpen, controlPort, processes);
    const certificates = join(directory, "runner/certs");
    mkdirSync(certificates, { recursive: true });
    writeFileSync(join(certificates, `default_${port}.crt`), CERTIFICATE);
    writeFileSync(join(certificates, `default_${port}.key`), KEY);
    const start = async (name: string, command: readonly string[], ready: RegExp | undefined) => {
      const process = new TestProcess(name, command, {
        cwd: directory,
        env: { PATH: systemPath() },
      });
      processes.push(process);
      if (ready !== undefined) await process.said(ready);
    };
    const ours = (name: string) =>
      start(name, commandOf(name, config), /started/);
    const theirs = (name: string) =>
      // Ours, which have the same names, do not say that they are starting.
      start(name, [name, `--config=${config}`, "--loglevel=2"], /starting\.\.\.[^]*started/);
    try {
      if (parts.httpclient === "ours") await ours("httpclient");
      else await start("zurl", ["zurl", `--config=${zurl}`], undefined);
      if (parts.connmgr === "ours") await ours("connmgr");
      else
        await start(
          "condure",
          [
            "condure",
            `--listen=127.0.0.1:${port},stream${parts.tls === true ? `,tls,default-cert=default_${port}` : ""}`,
            `--tls-identities-dir=${certificates}`,
            `--zclient-stream=ipc://${run}/cm`,
            "--buffer-size=8192",
            "--stream-maxconn=1000",
          ],
          undefined,
        );
      const core = parts.core === "ours" ? ours : (name: string) => theirs(`pushpin-${name}`);
      await core("proxy");
      await core("handler");
      await until("open ports", async () => (await isOpen(port)) && (await isOpen(controlPort)));
    } catch (error) {
      await mix.stop();
      throw error;
    }
    return mix;
  }

  /** One of ours dies, and another takes its place. */
  async replace(name: "proxy" | "handler" | "httpclient"): Promise<void> {
    const dying = this.#processes.find((one) => one.name === name && one.exit === undefined);
    dying?.child.kill("SIGKILL");
    await dying?.ended();
    const config = join(this.#directory, "pushpin.conf");
    const successor = new TestProcess(name, commandOf(name, config), { cwd: this.#directory });
    this.#processes.push(successor);
    await successor.said(/started/);
  }

  get output(): string {
    return this.#processes.map((one) => `== ${one.name}\n${one.output}`).join("\n");
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.stop()));
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** As in a file that both houses read: each of its processes under the name its house gives it. */
function servicesOf({ connmgr, core, httpclient }: Parts): string {
  const inner = core === "ours" ? "proxy,handler" : "pushpin-proxy,pushpin-handler";
  return `${connmgr === "ours" ? "connmgr" : "condure"},${inner},${httpclient === "ours" ? "httpclient" : "zurl"}`;
}

function commandOf(name: string, config: string): string[] {
  return [process.execPath, join(ROOT, `packages/${name}/bin/pushpin-${name}.js`), `--config=${config}`];
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** Where the processes meet. Each kind of peer is known by other keys. */
function internals(run: string, parts: Parts): Sections {
  const ipc = (name: string) => `ipc://${run}/${name}`;
  const clients =
    parts.core === "ours"
      ? { in: "connmgr_in_specs", stream: "connmgr_in_stream_specs", out: "connmgr_out_specs" }
      : { in: "condure_in_specs", stream: "condure_in_stream_specs", out: "condure_out_specs" };
  const shared = {
    [clients.in]: ipc("cm-out"),
    [clients.stream]: ipc("cm-out-stream"),
    [clients.out]: ipc("cm-in"),
  };
  // Without these the original does not start; where it has the others, it leaves them alone.
  const adapter = {
    m2a_in_stream_specs: ipc("m2-out-stream"),
    m2a_out_specs: ipc("m2-in"),
  };
  // Our own processes read the keys of ours; the original knows its HTTP client as zurl only.
  const zurl = {
    zurl_out_specs: ipc("hc-in"),
    zurl_out_stream_specs: ipc("hc-in-stream"),
    zurl_in_specs: ipc("hc-out"),
  };
  const own = {
    connmgr_client_out_specs: ipc("hc-in"),
    connmgr_client_out_stream_specs: ipc("hc-in-stream"),
    connmgr_client_in_specs: ipc("hc-out"),
    connmgr_in_specs: ipc("cm-out"),
    connmgr_in_stream_specs: ipc("cm-out-stream"),
    connmgr_out_specs: ipc("cm-in"),
  };
  return {
    proxy: {
      ...own,
      ...shared,
      ...adapter,
      m2a_in_specs: ipc("m2-out"),
      ...zurl,
      handler_inspect_spec: ipc("inspect"),
      handler_accept_spec: ipc("accept"),
      handler_retry_in_spec: ipc("retry"),
      handler_ws_control_init_specs: ipc("ws-control-init"),
      handler_ws_control_stream_specs: ipc("ws-control-stream"),
      handler_ws_control_in_spec: ipc("ws-control-in"),
      handler_ws_control_out_spec: ipc("ws-control-out"),
      stats_spec: ipc("proxy-stats"),
      command_spec: ipc("proxy-command"),
      intreq_in_specs: ipc("intreq-in"),
      intreq_in_stream_specs: ipc("intreq-in-stream"),
      intreq_out_specs: ipc("intreq-out"),
    },
    handler: {
      ...adapter,
      [clients.stream]: ipc("cm-out-stream"),
      [clients.out]: ipc("cm-in"),
      connmgr_in_stream_specs: ipc("cm-out-stream"),
      connmgr_out_specs: ipc("cm-in"),
      proxy_inspect_specs: ipc("inspect"),
      proxy_accept_specs: ipc("accept"),
      proxy_retry_out_specs: ipc("retry"),
      proxy_inspect_spec: ipc("inspect"),
      proxy_accept_spec: ipc("accept"),
      proxy_retry_out_spec: ipc("retry"),
      proxy_ws_control_init_specs: ipc("ws-control-init"),
      proxy_ws_control_stream_specs: ipc("ws-control-stream"),
      proxy_ws_control_in_spec: ipc("ws-control-out"),
      proxy_ws_control_out_spec: ipc("ws-control-in"),
      proxy_stats_specs: ipc("proxy-stats"),
      proxy_stats_spec: ipc("proxy-stats"),
      proxy_command_spec: ipc("proxy-command"),
      proxy_intreq_out_specs: ipc("intreq-in"),
      proxy_intreq_out_stream_specs: ipc("intreq-in-stream"),
      proxy_intreq_in_specs: ipc("intreq-out"),
    },
  };
}

function zurlConfig(run: string): string {
  return `[General]
in_spec=ipc://${run}/hc-in
in_stream_spec=ipc://${run}/hc-in-stream
out_spec=ipc://${run}/hc-out
in_req_spec=ipc://${run}/hc-req
ipc_file_mode=660
defpolicy=allow
allow=
deny=
max_open_requests=2000
buffer_size=200000
timeout=600
in_hwm=1000
out_hwm=1000
`;
}
