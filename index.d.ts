export {
  createPushpin,
  type Item,
  type Pushpin,
  type PushpinOptions,
} from "@pushpin/runner";
