export { GRIP_FEATURES, hasGripInstruction } from "./detection.ts";
export {
  parseKey,
  Signer,
  type SigningKey,
  signToken,
  TOKEN_LIFETIME_S,
  verifyToken,
} from "./signature.ts";
