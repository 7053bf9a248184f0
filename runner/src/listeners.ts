import { rmSync } from "node:fs";
import net, { isIPv6 } from "node:net";
import { getSystemErrorName } from "node:util";
import { type LocalAddress, setOwner, type TcpAddress } from "@pushpin/config";

/** A listening socket that the runner keeps open while its users come and go. */
export interface OpenListener {
  readonly name: string;
  readonly fd: number;
  close(): void;
}

const LOCAL = -1;

/** Opens a TCP listener without ever accepting on it. @throws Error `failed to bind …`. */
export function openTcp(name: string, address: TcpAddress): OpenListener {
  const { host, port } = address;
  const isV6 = isIPv6(host);
  return bind(name, host, port, isV6 ? 6 : 4, isV6 ? `[${host}]:${port}` : `${host}:${port}`);
}

/** Opens a unix socket; a file left over from before is replaced. */
export function openLocal(name: string, address: LocalAddress): OpenListener {
  rmSync(address.path, { force: true });
  const listener = bind(name, address.path, -1, LOCAL, address.path);
  setOwner(address);
  return listener;
}

interface Handle {
  readonly fd: number;
  close(): void;
  getsockname?(out: { port?: number }): number;
}

/**
 * Binds without listening: the child that inherits the descriptor calls listen(2) on it, and the
 * kernel then queues clients also while that child is away. `node:net` offers no public call that
 * binds only; this one is what its own cluster module uses, unchanged since Node 0.12.
 */
const createServerHandle = (
  net as unknown as {
    _createServerHandle(address: string, port: number, type: number): Handle | number;
  }
)._createServerHandle;

function bind(
  name: string,
  address: string,
  port: number,
  type: number,
  shown: string,
): OpenListener {
  const handle = createServerHandle(address, port, type);
  if (typeof handle === "number")
    throw new Error(`failed to bind ${shown}: ${getSystemErrorName(handle)}`);
  if (type !== LOCAL) {
    // A busy address is reported only at listen(2); an unbound socket has no port yet.
    const bound: { port?: number } = {};
    handle.getsockname?.(bound);
    if (!bound.port) {
      handle.close();
      throw new Error(`failed to bind ${shown}: Address already in use (os error 98)`);
    }
  }
  return { name, fd: handle.fd, close: () => handle.close() };
}
