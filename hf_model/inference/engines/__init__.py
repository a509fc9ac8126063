"""Engines behind one interface (``base.Engine``): OpenVINO on CPUs, torch on GPUs, as fallback and as reference."""
