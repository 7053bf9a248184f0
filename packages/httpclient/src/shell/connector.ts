import { isIP, type Socket } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { Packet } from "@pushpin/zhttp";
import { buildConnector } from "undici";
import { ConnectError, connectCondition } from "../core/condition.ts";
import type { RequestPlan } from "../core/request-plan.ts";
import { type AddressPolicy, policyError } from "./address-policy.ts";

/** Name lookup, connection and TLS handshake together. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** The next address is tried beside the first after this. */
const NEXT_ADDRESS_MS = 250;

/** Opens connections to one target; every failure is a `ConnectError`. */
export type Connect = (done: (error: ConnectError | null, socket: Socket | null) => void) => void;

/** How connections to the target of a request are made. Keeps its TLS sessions, so keep it. */
export function connectTo(
  plan: RequestPlan,
  packet: Packet,
  policy: AddressPolicy,
  http2: boolean,
): Connect {
  const { secure, socketPath, servername } = plan;
  const restricted = !packet.ignorePolicies;
  const connect = buildConnector({
    timeout: CONNECT_TIMEOUT_MS,
    allowH2: http2,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    ...(socketPath === undefined ? {} : { socketPath }),
    ...(restricted ? { lookup: policy.lookup } : {}),
    ...(secure
      ? {
          rejectUnauthorized: !packet.ignoreTlsErrors,
          // Also for addresses, which are never a server name of the handshake.
          checkServerIdentity: (_name: string, certificate: PeerCertificate) =>
            checkServerIdentity(servername, certificate),
        }
      : {}),
    ...(packet.clientCert === "" ? {} : { cert: packet.clientCert, key: packet.clientKey }),
  });
  const options = {
    hostname: socketPath === undefined ? plan.host : "localhost",
    host: plan.host,
    protocol: secure ? "https:" : "http:",
    port: String(plan.port),
    servername: isIP(servername) === 0 ? servername : "",
  };
  const isPermitted =
    !restricted ||
    (socketPath === undefined && policy.permitsHost(plan.uriHost) && policy.permitsHost(plan.host));
  return (done) => {
    if (!isPermitted) {
      setImmediate(done, new ConnectError("policy-violation", policyError()), null);
      return;
    }
    try {
      connect(options, (error, socket) => {
        if (error === null) done(null, socket);
        else done(new ConnectError(connectCondition(error, secure), error), null);
      });
    } catch (error) {
      // A client certificate that is none, a server name that cannot be one.
      const condition = secure ? "tls-error" : "bad-request";
      setImmediate(done, new ConnectError(condition, error as Error), null);
    }
  };
}
