#!/usr/bin/env node
import '../dist/inside.js';
