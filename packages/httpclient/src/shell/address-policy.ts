import { BlockList, isIP } from "node:net";

/** Loopback, private and link-local networks: where a request of a stranger must not lead. */
export function internalNetworks(): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of [
    ["127.0.0.0", 8],
    ["10.0.0.0", 8],
    ["172.16.0.0", 12],
    ["192.168.0.0", 16],
    ["169.254.0.0", 16],
    ["0.0.0.0", 8],
  ] as const)
    list.addSubnet(network, prefix, "ipv4");
  for (const [network, prefix] of [
    ["::1", 128],
    ["::", 128],
    ["fc00::", 7],
    ["fe80::", 10],
  ] as const)
    list.addSubnet(network, prefix, "ipv6");
  return list;
}

/** Whether a resolved address may be connected to under the policy. */
export function isAllowed(address: string, denied: BlockList): boolean {
  const family = isIP(address);
  return family !== 0 && !denied.check(address, family === 6 ? "ipv6" : "ipv4");
}
