import { getHeader } from "@pushpin/http";

/** Whether a backend's response is for the handler (proxy.md 3.13). */
export function hasGripInstruction(headers: readonly string[]): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    const first = name.charCodeAt(0) | 0x20;
    if (first === 0x67 && /^grip-/i.test(name)) return true;
  }
  return isGripInstructType(headers);
}

const GRIP_INSTRUCT = "application/grip-instruct";

/** Whether the body is a JSON instruct: the type up to the first `;`, exactly. */
export function isGripInstructType(headers: readonly string[]): boolean {
  const type = getHeader(headers, "content-type");
  if (!type?.startsWith(GRIP_INSTRUCT)) return false;
  return type.length === GRIP_INSTRUCT.length || type[GRIP_INSTRUCT.length] === ";";
}

/** What the proxy tells backends it can do. */
export const GRIP_FEATURES =
  "status, session, link:next, link:gone, filter:skip-self, filter:skip-users, filter:require-sub, " +
  "filter:build-id, filter:var-subst, filter:http-check, filter:http-modify";
