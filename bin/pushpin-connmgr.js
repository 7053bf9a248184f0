#!/usr/bin/env node
import "@pushpin/connmgr/bin/pushpin-connmgr.js";
