import { isIP, type Socket } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { Packet } from "@pushpin/zhttp";
import { ConnectError, connectCondition } from "../core/condition.ts";
import type { RequestPlan } from "../core/request-plan.ts";
import { type AddressPolicy, policyError } from "./address-policy.ts";
import { buildConnector } from "./undici.ts";

/** An address that has not answered by then is left for the next one. */
const NEXT_ADDRESS_MS = 250;

/** Opens connections to one target; every failure is a `ConnectError`. */
export type Connect = (done: (error: ConnectError | null, socket: Socket | null) => void) => void;

export interface ConnectOptions {
  readonly policy: AddressPolicy;
  /** Offer HTTP/2 in the TLS handshake. */
  readonly http2: boolean;
  /** Name lookup, connection and TLS handshake together. */
  readonly timeoutMs: number;
}

/** How connections to the target of a request are made. Keeps its TLS sessions, so keep it. */
export function connectTo(
  plan: RequestPlan,
  packet: Packet,
  { policy, http2, timeoutMs }: ConnectOptions,
): Connect {
  const { secure, socketPath, uriHost, verifiedName } = plan;
  const restricted = !packet.ignorePolicies;
  const connect = buildConnector({
    timeout: timeoutMs,
    allowH2: http2,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    ...(socketPath === undefined ? {} : { socketPath }),
    lookup: restricted ? policy.lookup : policy.resolve,
    ...(secure
      ? {
          rejectUnauthorized: !packet.ignoreTlsErrors,
          // Also for addresses, which are never a server name of the handshake.
          checkServerIdentity: (_name: string, certificate: PeerCertificate) =>
            checkServerIdentity(verifiedName, certificate),
        }
      : {}),
    ...(packet.clientCert === "" ? {} : { cert: packet.clientCert, key: packet.clientKey }),
  });
  const options = {
    hostname: socketPath === undefined ? plan.host : "localhost",
    host: plan.host,
    protocol: secure ? "https:" : "http:",
    port: String(plan.port),
    servername: isIP(uriHost) === 0 ? uriHost : "",
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
