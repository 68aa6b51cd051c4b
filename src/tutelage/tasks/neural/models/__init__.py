"""The networks of the neural task; `config` names their options and needs no torch."""
