//! Schemas: placeholder until they land.
