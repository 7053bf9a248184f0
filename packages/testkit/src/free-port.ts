import { createServer, type Server } from "node:net";

/** Below the ports that systems give to outgoing connections: one of those could take a port before it is used. */
const LOWEST_PORT = 10_000;
const HIGHEST_PORT = 32_000;
const ATTEMPTS_MAX = 100;

/** Ports of 127.0.0.1 that nobody listens on at this moment; all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listenAnywhere));
  const ports = servers.map((one) => (one.address() as { port: number }).port);
  await Promise.all(servers.map((one) => new Promise((resolve) => one.close(resolve))));
  return ports;
}

async function listenAnywhere(): Promise<Server> {
  for (let attempt = 1; ; attempt += 1) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT));
    const server = createServer();
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, "127.0.0.1", resolve);
      });
      return server;
    } catch (error) {
      if (attempt === ATTEMPTS_MAX) throw error;
    }
  }
}
