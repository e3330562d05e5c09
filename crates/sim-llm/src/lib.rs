//! sim-llm
