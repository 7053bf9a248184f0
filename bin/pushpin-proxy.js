#!/usr/bin/env node
import "@pushpin/proxy/bin/pushpin-proxy.js";
