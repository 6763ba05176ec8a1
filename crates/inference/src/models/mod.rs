//! The networks, each layer written once for every device, file format and weight type.
