#!/usr/bin/env node
import '../dist/crash/main.js';
