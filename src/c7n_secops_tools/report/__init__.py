"""Reads Custodian's output trees and says what was found, changed and not evaluated."""
