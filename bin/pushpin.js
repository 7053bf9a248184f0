#!/usr/bin/env node
import "@pushpin/runner/bin/pushpin.js";
