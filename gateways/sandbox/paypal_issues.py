"""The descriptions that PayPal's published interface fixes for its issues, word for word."""

DESCRIPTIONS = {
    "CAPTURE_FULLY_REFUNDED": "The capture has already been fully refunded",
    "REFUND_CAPTURE_CURRENCY_MISMATCH": "Refund must be in the same currency as the capture",
    "REFUND_NOT_ALLOWED": "Capture cannot be refunded.",
    "REFUND_TIME_LIMIT_EXCEEDED": "You are over the time limit to perform a refund on this capture",
    "REFUND_AMOUNT_EXCEEDED": (
        "The refund amount must be less than or equal to the capture amount that has not yet "
        "been refunded."
    ),
    "REFUND_AMOUNT_TOO_LOW": (
        "The amount after applying currency conversion is zero and hence the capture cannot "
        "be refunded. The currency conversion is required because the currency of the capture "
        "is different than the currency in which the amount was settled into the payee "
        "account."
    ),
    "REFUND_FAILED_INSUFFICIENT_FUNDS": (
        "Capture could not be refunded due to insufficient funds. Please check to see if you "
        "have sufficient funds in your PayPal account or if the bank account linked to your "
        "PayPal account is verified and has sufficient funds."
    ),
    "PARTIAL_REFUND_NOT_ALLOWED": "You cannot do a refund less than the original capture amount.",
    "MAX_NUMBER_OF_REFUNDS_EXCEEDED": (
        "You have exceeded the maximum number of refund attempts for this capture."
    ),
    "PENDING_CAPTURE": (
        "Cannot initiate a refund as the capture is pending. Capture is typically pending "
        "when the payer has funded the transaction using e-check/bank funded."
    ),
    "DUPLICATE_INVOICE_ID": "Invoice ID was previously used to refund a capture.",
    "PAYEE_ACCOUNT_LOCKED_OR_CLOSED": (
        "Transaction could not complete because payee account is locked or closed."
    ),
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": "The payer account cannot be used for this transaction.",
    "PAYEE_ACCOUNT_RESTRICTED": "Payee account is restricted.",
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": (
        "Refunds are not allowed on this capture due to a chargeback on the card or bank. "
        "Please contact the payee to resolve the chargeback."
    ),
    "TRANSACTION_DISPUTED": (
        "Partial refunds cannot be offered at this time because there is an open case on this "
        "transaction. Visit the PayPal Resolution Center to review this case."
    ),
    "PLATFORM_FEE_EXCEEDED": (
        "Platform fee amount specified exceeds the amount that is available for refund. You "
        "can only refund up to the available platform fee amount. This error is also returned "
        "when no platform_fee was specified or was zero when the payment was captured."
    ),
    "REFUND_IS_RESTRICTED": (
        "This refund can only be processed by the API caller that had 'captured' the "
        "transaction. If you facilitate your transactions via a platform/partner, please "
        "initiate a refund through them."
    ),
    "PLATFORM_FEE_NOT_ENABLED": (
        "The API Caller account is not setup to be able to process refunds with "
        "'platform_fees'. Please contact your Account Manager. This feature is useful when "
        "you want to contribute a portion of the 'platform_fees' you had capture as part of "
        "the refund being processed."
    ),
    "INVALID_RESOURCE_ID": (
        "Specified resource ID does not exist. Please check the resource ID and try again."
    ),
    "PREVIOUS_REQUEST_IN_PROGRESS": (
        "A previous request on this resource is currently in progress. Please wait for "
        "sometime and try again. It is best to space out the initial and the subsequent "
        "request(s) to avoid receiving this error."
    ),
    "INVALID_ACCOUNT_STATUS": "Account validations failed for the user.",
    "PERMISSION_DENIED": (
        "You do not have permission to access or perform operations on this resource."
    ),
    "PREVIOUSLY_CAPTURED": "Authorization has been previously captured and hence cannot be voided.",
    "PREVIOUSLY_VOIDED": (
        "Authorization has been previously voided and hence cannot be voided again."
    ),
    "CANNOT_BE_VOIDED": (
        "A reauthorization cannot be voided. Please void the original parent authorization."
    ),
}
