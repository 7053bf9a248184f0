/**
 * What counts as one address: an IPv4 address, or an IPv6 network of 64 bits, of which a single
 * household has as many addresses as it likes.
 */
export function clientNetwork(address: string): string {
  if (!address.includes(":")) return address;
  const bare = address.split("%")[0] as string; // without a zone
  const [head = "", tail] = bare.split("::") as [string, string?];
  const groups = groupsOf(head);
  if (tail !== undefined) {
    const behind = groupsOf(tail);
    while (groups.length + behind.length < 8) groups.push("0");
    groups.push(...behind);
  }
  const network = groups.slice(0, 4).map((one) => Number.parseInt(one, 16).toString(16));
  return `${network.join(":")}::/64`;
}

/** An IPv4 address at the end takes the place of two groups. */
function groupsOf(text: string): string[] {
  if (text === "") return [];
  return text.split(":").flatMap((one) => (one.includes(".") ? ["0", "0"] : [one]));
}
