export { Sequencer } from "./core/sequencer.ts";
